"""What rooms and people are: state, profiles, account data, and the ways in and out."""

import json
from urllib.parse import quote

from nio import RoomPreset, ToDeviceMessage

from .person import Person, equal, good, refused
from .steps import Part

room_state = Part("room state")
profiles = Part("profiles")
own_data = Part("own data")
doors = Part("doors")

ALIAS = "#nio-square:localhost"


@room_state.step("alice renames the room, bob sees it")
async def _(cast):
    good(await cast.alice.client.room_put_state(cast.room_id, "m.room.name", {"name": "Coffee"}))
    await cast.bob.until("the new name", lambda: cast.bob.room(cast.room_id).name == "Coffee")


@room_state.step("alice changes the topic, bob sees it")
async def _(cast):
    good(await cast.alice.client.update_room_topic(cast.room_id, "With milk"))
    await cast.bob.until("the new topic", lambda: cast.bob.room(cast.room_id).topic == "With milk")
    equal(good(await cast.bob.client.room_get_state_event(cast.room_id, "m.room.topic")).content["topic"], "With milk")


@room_state.step("bob may not rename it before he has the power, and may after")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    refused(await bob.client.room_put_state(cast.room_id, "m.room.name", {"name": "Bob’s"}), "M_FORBIDDEN")
    levels = good(await alice.client.room_get_state_event(cast.room_id, "m.room.power_levels")).content
    levels["users"][bob.id] = 50
    good(await alice.client.room_put_state(cast.room_id, "m.room.power_levels", levels))
    await bob.until("his power", lambda: bob.room(cast.room_id).power_levels.get_user_level(bob.id) == 50)
    good(await bob.client.room_put_state(cast.room_id, "m.room.name", {"name": "Bob’s"}))
    await alice.until("the new name", lambda: alice.room(cast.room_id).name == "Bob’s")


@room_state.step("all state and all members can be listed")
async def _(cast):
    types = {event["type"] for event in good(await cast.bob.client.room_get_state(cast.room_id)).events}
    assert {"m.room.create", "m.room.member", "m.room.power_levels", "m.room.name"} <= types, types
    members = good(await cast.bob.client.joined_members(cast.room_id)).members
    equal({member.user_id for member in members}, {cast.alice.id, cast.bob.id})


@profiles.step("a new display name reaches the room")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await alice.client.set_displayname("Alice Liddell"))
    await bob.until("her name", lambda: bob.room(cast.room_id).users[alice.id].display_name == "Alice Liddell")
    equal(good(await bob.client.get_displayname(alice.id)).displayname, "Alice Liddell")


@profiles.step("a new avatar reaches the room")
async def _(cast):
    alice, bob, uri = cast.alice, cast.bob, "mxc://localhost/abcdef"
    good(await alice.client.set_avatar(uri))
    await bob.until("her avatar", lambda: bob.room(cast.room_id).users[alice.id].avatar_url == uri)
    equal(good(await bob.client.get_avatar(alice.id)).avatar_url, uri)
    profile = good(await bob.client.get_profile(alice.id))
    equal((profile.displayname, profile.avatar_url), ("Alice Liddell", uri))


@own_data.step("the direct rooms are kept in account data")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    refused(await alice.client.list_direct_rooms(), "M_NOT_FOUND")
    # nio reads account data and has no call that writes it.
    path = f"/_matrix/client/v3/user/{quote(alice.id)}/account_data/m.direct"
    await put(alice, path, {bob.id: [cast.room_id]})
    equal(good(await alice.client.list_direct_rooms()).rooms, {bob.id: [cast.room_id]})


@own_data.step("a room has tags of each person")
async def _(cast):
    alice = cast.alice
    path = f"/_matrix/client/v3/user/{quote(alice.id)}/rooms/{quote(cast.room_id)}/tags/m.favourite"
    await put(alice, path, {"order": 0.5})
    await alice.until("the tag", lambda: alice.room(cast.room_id).tags == {"m.favourite": {"order": 0.5}})
    equal(cast.bob.room(cast.room_id).tags, {})


@own_data.step("a message to a device arrives there, and once")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    for n in (1, 2):
        message = ToDeviceMessage("org.example.ping", bob.id, bob.client.device_id, {"n": n})
        good(await alice.client.to_device(message))
        await bob.until(f"message {n}", lambda: len(bob.to_device) >= n)
    equal([event.source["content"] for event in bob.to_device], [{"n": 1}, {"n": 2}])


@doors.step("a public room has an alias, and who knows it joins")
async def _(cast):
    cast.carol = await (await Person.register(cast.url, "nio-carol")).start()
    answer = await cast.alice.client.room_create(name="Square", alias="nio-square", preset=RoomPreset.public_chat)
    cast.square = good(answer).room_id
    equal(good(await cast.carol.client.room_resolve_alias(ALIAS)).room_id, cast.square)
    equal(good(await cast.carol.client.join(ALIAS)).room_id, cast.square)
    carol_there = lambda: cast.carol.id in cast.alice.room(cast.square).users  # noqa: E731
    await cast.carol.until("the alias", lambda: cast.carol.room(cast.square).canonical_alias == ALIAS)
    await cast.alice.until("carol", carol_there)


@doors.step("an alias can be added and removed")
async def _(cast):
    good(await cast.alice.client.room_put_alias("#nio-plaza:localhost", cast.square))
    equal(good(await cast.carol.client.room_resolve_alias("#nio-plaza:localhost")).room_id, cast.square)
    good(await cast.alice.client.room_delete_alias("#nio-plaza:localhost"))
    refused(await cast.carol.client.room_resolve_alias("#nio-plaza:localhost"), "M_NOT_FOUND")


@doors.step("alice kicks carol, who may come back")
async def _(cast):
    alice, carol = cast.alice, cast.carol
    good(await alice.client.room_kick(cast.square, carol.id, "a test"))
    await carol.until("the kick", lambda: carol.membership(cast.square) == "leave")
    good(await carol.client.join(cast.square))
    await carol.until("the room", lambda: carol.membership(cast.square) == "join")


@doors.step("alice bans carol, who may not, until she is unbanned")
async def _(cast):
    alice, carol = cast.alice, cast.carol
    good(await alice.client.room_ban(cast.square, carol.id))
    await carol.until("the ban", lambda: carol.membership(cast.square) == "leave")
    refused(await carol.client.join(cast.square), "M_FORBIDDEN")
    good(await alice.client.room_unban(cast.square, carol.id))
    good(await carol.client.join(cast.square))


@doors.step("carol rejects an invite")
async def _(cast):
    bob, carol = cast.bob, cast.carol
    room_id = good(await bob.client.room_create(preset=RoomPreset.private_chat, invite=[carol.id], is_direct=True)).room_id
    await carol.until("the invite", lambda: carol.client.invited_rooms[room_id].inviter == bob.id)
    await bob.until("carol invited", lambda: carol.id in bob.room(room_id).invited_users)
    good(await carol.client.room_leave(room_id))
    await bob.until("her refusal", lambda: carol.id not in bob.room(room_id).invited_users)


@doors.step("carol knocks, alice lets her in")
async def _(cast):
    alice, carol = cast.alice, cast.carol
    room_id = good(await alice.client.room_create(preset=RoomPreset.private_chat)).room_id
    await alice.until("the room", lambda: alice.room(room_id))
    good(await alice.client.room_enable_knocking(room_id))
    good(await carol.client.room_knock(room_id, "It is raining"))
    good(await alice.client.room_invite(room_id, carol.id))
    await carol.until("the invite", lambda: carol.client.invited_rooms[room_id])
    good(await carol.client.join(room_id))
    await alice.until("carol", lambda: carol.id in alice.room(room_id).users)
    good(await carol.client.room_leave(room_id))


@doors.step("carol leaves and forgets the room")
async def _(cast):
    alice, carol = cast.alice, cast.carol
    good(await carol.client.room_leave(cast.square))
    await alice.until("her leave", lambda: carol.id not in alice.room(cast.square).users)
    good(await carol.client.room_forget(cast.square))
    equal(good(await carol.client.joined_rooms()).rooms, [])
    refused(await carol.client.room_get_state(cast.square), "M_FORBIDDEN")
    equal(carol.sync_errors, [])
    await carol.stop()


async def put(person: Person, path: str, content: dict) -> None:
    headers = {"Authorization": f"Bearer {person.client.access_token}"}
    answer = await person.client.send("PUT", path, json.dumps(content), headers)
    equal(answer.status, 200)
