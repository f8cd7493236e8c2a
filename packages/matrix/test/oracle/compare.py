"""Compares what this package says of random rooms with what Synapse says: see README.md."""

import asyncio
import collections
import hashlib
import json
import sys

import synapse.events  # noqa: F401  (Synapse's modules import each other; this order works)
import synapse.event_auth as event_auth
import synapse.state.v1 as v1
import synapse.state.v2 as v2
from synapse.api.errors import SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import compute_content_hash
from synapse.events import make_event_from_dict
from synapse.events.utils import prune_event
from synapse.storage.databases.main.event_federation import StateDifference
from unpaddedbase64 import encode_base64


class Clock:
    async def sleep(self, *_):
        pass


class Store:
    """Answers state resolution's questions from the definitions."""

    def __init__(self, events, auth):
        self.events = events
        self.auth = auth

    def chain(self, ids):
        reached, open_ids = set(ids), list(ids)
        while open_ids:
            for auth_id in self.auth[open_ids.pop()] - reached:
                reached.add(auth_id)
                open_ids.append(auth_id)
        return reached

    async def get_events(self, event_ids, allow_rejected=False, **_):
        return {i: self.events[i] for i in event_ids if i in self.events}

    async def get_auth_chain_difference(self, _room_id, state_sets, conflicted, additional):
        chains = [self.chain(state) for state in state_sets]
        subgraph = None
        if conflicted is not None:
            ends = set(conflicted) | set(additional or ())
            subgraph = {i for i in self.chain(ends) if self.chain([i]) & ends}
        return StateDifference(set.union(*chains) - set.intersection(*chains), subgraph)


def auth_problem(version, event, state):
    try:
        if event.type == "m.room.create":
            event_auth._check_create(event)
        else:
            held = {(e.type, e.state_key): e for e in state}
            selected = event_auth.auth_types_for_event(version, event)
            auth_events = [held[key] for key in selected if key in held]
            if version.msc4291_room_ids_as_hashes:
                auth_events.append(held[("m.room.create", "")])
            event_auth.check_state_dependent_auth_rules(event, auth_events)
        return None
    except SynapseError as error:
        return error.msg


def resolve(room, version, states, store):
    if room["version"] == "1":
        return asyncio.run(v1.resolve_events_with_store(room["roomId"], version, states, None, store.get_events))
    return asyncio.run(v2.resolve_events_with_store(Clock(), room["roomId"], version, states, None, store))


def compare(room, counts):
    version = KNOWN_ROOM_VERSIONS[room["version"]]
    events, auth = {}, {}
    counts["rooms"] += 1
    for given in room["events"]:
        event = make_event_from_dict(given["pdu"], version)
        events[given["id"]], auth[given["id"]] = event, set(given["auth"])
        counts["events"] += 1
        if event.event_id != given["id"]:
            yield "event id", given["id"], event.event_id
        _, content_hash = compute_content_hash(dict(given["pdu"]), hashlib.sha256)
        if encode_base64(content_hash) != given["pdu"]["hashes"]["sha256"]:
            yield "content hash", given["id"]
        pruned = json.loads(json.dumps(prune_event(event).get_dict()))
        pruned.pop("unsigned", None)
        if pruned != given["redacted"]:
            yield "redaction", given["redacted"], pruned

    for check in room["checks"]:
        event = events[check["event"]]
        problem = auth_problem(version, event, [events[i] for i in check["state"]])
        counts["refused" if problem else "allowed"] += 1
        if (problem is None) != (check["rule"] is None):
            yield "auth", check["rule"], problem, event.get_dict()

    store = Store(events, auth)
    for resolution in room["resolutions"]:
        states = [{(t, k): i for t, k, i in state} for state in resolution["states"]]
        ours = {(t, k): i for t, k, i in resolution["resolved"]}
        counts["resolutions"] += 1
        counts["contested"] += any(state != states[0] for state in states)
        try:
            theirs = dict(resolve(room, version, states, store))
        except SynapseError as error:
            yield "resolution", "Synapse raises", error.msg
            continue
        if ours != theirs:
            yield "resolution", [(k, ours.get(k), theirs.get(k)) for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rooms = json.load(file)
    counts = collections.defaultdict(collections.Counter)
    differences = [
        (room["version"], room["name"], *found) for room in rooms for found in compare(room, counts[room["version"]])
    ]
    json.dump({"counts": counts, "differences": differences}, sys.stdout)


main()
