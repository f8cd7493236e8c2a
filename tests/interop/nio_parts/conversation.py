"""Registering, the first room, and talking in it."""

from nio import PushRulesEvent, ReactionEvent, ReceiptEvent, RedactedEvent, RedactionEvent, RoomMessageText, RoomPreset
from nio.api import RelationshipType, ThreadInclusion

from .person import PASSWORD, Person, equal, good, refused
from .steps import Part

registration = Part("registration", founding=True)
first_room = Part("first room", founding=True)
talk = Part("talk")


@registration.step("the server names itself and the password login")
async def _(cast):
    nobody = Person(cast.url, "nobody")
    equal(good(await nobody.client.discovery_info()).homeserver_url.rstrip("/"), cast.url)
    assert "m.login.password" in good(await nobody.client.login_info()).flows


@registration.step("alice and bob register")
async def _(cast):
    cast.alice = await Person.register(cast.url, "nio-alice")
    cast.bob = await Person.register(cast.url, "nio-bob")
    assert cast.alice.client.logged_in and cast.bob.client.logged_in


@registration.step("a name is given once")
async def _(cast):
    nobody = Person(cast.url, "nobody")
    refused(await nobody.client.register("nio-alice", PASSWORD), "M_USER_IN_USE")


@registration.step("each is who they are")
async def _(cast):
    for person in (cast.alice, cast.bob):
        answer = good(await person.client.whoami())
        equal((answer.user_id, answer.device_id), (person.id, person.client.device_id))


@registration.step("both clients start and sync")
async def _(cast):
    await cast.alice.start()
    await cast.bob.start()


@registration.step("push rules come with the first sync")
async def _(cast):
    [rules] = [event for event in cast.alice.account_data if isinstance(event, PushRulesEvent)]
    equal(rules.global_rules.override[0].id, ".m.rule.master")


@first_room.step("alice creates a room and sees it")
async def _(cast):
    alice = cast.alice
    answer = await alice.client.room_create(name="Tea", topic="Green or black", preset=RoomPreset.private_chat)
    cast.room_id = good(answer).room_id
    await alice.until("her room", lambda: alice.room(cast.room_id).topic)
    room = alice.room(cast.room_id)
    equal((room.name, room.topic, room.join_rule, room.own_user_id), ("Tea", "Green or black", "invite", alice.id))
    equal(list(room.users), [alice.id])


@first_room.step("who is not invited cannot join")
async def _(cast):
    refused(await cast.bob.client.join(cast.room_id), "M_FORBIDDEN")


@first_room.step("alice invites bob, who sees what he is invited to")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await alice.client.room_invite(cast.room_id, bob.id))
    invite = await bob.until("the invite", lambda: bob.client.invited_rooms[cast.room_id])
    equal((invite.name, invite.inviter), ("Tea", alice.id))
    await alice.until("bob invited", lambda: bob.id in alice.room(cast.room_id).invited_users)


@first_room.step("bob joins, and both see it")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    equal(good(await bob.client.join(cast.room_id)).room_id, cast.room_id)
    for person in (alice, bob):
        await person.until("both members", lambda: set(person.room(cast.room_id).users) == {alice.id, bob.id})
    assert cast.room_id not in bob.client.invited_rooms


@talk.step("alice says hello, bob hears it")
async def _(cast):
    cast.hello = await cast.alice.says(cast.room_id, "Hello Bob")
    heard = await cast.bob.sees(cast.room_id, cast.hello)
    assert isinstance(heard, RoomMessageText), heard
    equal((heard.body, heard.sender), ("Hello Bob", cast.alice.id))


@talk.step("the echo of her own message carries her transaction id")
async def _(cast):
    own = await cast.alice.sends(cast.room_id, "m.room.message", {"msgtype": "m.text", "body": "echo"}, "echo-1")
    equal((await cast.alice.sees(cast.room_id, own)).transaction_id, "echo-1")
    equal((await cast.bob.sees(cast.room_id, own)).transaction_id, None)


@talk.step("bob answers, alice hears it")
async def _(cast):
    cast.answer = await cast.bob.says(cast.room_id, "Hello Alice 👋")
    equal((await cast.alice.sees(cast.room_id, cast.answer)).body, "Hello Alice 👋")


@talk.step("alice edits, bob gets the new text for the old message")
async def _(cast):
    content = {
        "msgtype": "m.text",
        "body": "* Hello dear Bob",
        "m.new_content": {"msgtype": "m.text", "body": "Hello dear Bob"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": cast.hello},
    }
    edit = await cast.bob.sees(cast.room_id, await cast.alice.sends(cast.room_id, "m.room.message", content))
    equal(edit.body, "* Hello dear Bob")
    equal(edit.source["content"], content)


@talk.step("bob reacts, alice sees to what")
async def _(cast):
    relation = {"rel_type": "m.annotation", "event_id": cast.hello, "key": "🍵"}
    reaction = await cast.alice.sees(cast.room_id, await cast.bob.sends(cast.room_id, "m.reaction", {"m.relates_to": relation}))
    assert isinstance(reaction, ReactionEvent), reaction
    equal((reaction.reacts_to, reaction.key), (cast.hello, "🍵"))


@talk.step("edits, reactions and threads can be asked for")
async def _(cast):
    answer = {"msgtype": "m.text", "body": "In a thread", "m.relates_to": {"rel_type": "m.thread", "event_id": cast.hello}}
    threaded = await cast.bob.sends(cast.room_id, "m.room.message", answer)
    found = [event async for event in cast.alice.client.room_get_event_relations(cast.room_id, cast.hello)]
    kinds = [event.source["content"]["m.relates_to"]["rel_type"] for event in found]
    equal(kinds, ["m.thread", "m.annotation", "m.replace"])
    one = cast.alice.client.room_get_event_relations(cast.room_id, cast.hello, RelationshipType.thread, limit=1)
    equal([event.event_id async for event in one], [threaded])
    roots = cast.alice.client.room_get_threads(cast.room_id, ThreadInclusion.all)
    equal([event.event_id async for event in roots], [cast.hello])


@talk.step("a message sent twice with one transaction id is there once")
async def _(cast):
    content = {"msgtype": "m.text", "body": "once"}
    sent = [await cast.bob.sends(cast.room_id, "m.room.message", content, "txn-1") for _ in range(2)]
    equal(sent[0], sent[1])
    await cast.alice.sees(cast.room_id, await cast.bob.says(cast.room_id, "after once"))
    equal(cast.alice.bodies(cast.room_id).count("once"), 1)


@talk.step("typing shows, and stops showing")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await alice.client.room_typing(cast.room_id, True, 30_000))
    await bob.until("alice typing", lambda: bob.room(cast.room_id).typing_users == [alice.id])
    good(await alice.client.room_typing(cast.room_id, False))
    await bob.until("alice no longer typing", lambda: bob.room(cast.room_id).typing_users == [])


@talk.step("a read receipt shows, in the thread it is for")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await bob.client.update_receipt_marker(cast.room_id, cast.hello))
    room = alice.room(cast.room_id)
    await alice.until("the receipt", lambda: room.threaded_read_receipts[bob.id]["main"].event_id == cast.hello)


@talk.step("read markers are kept, with a receipt that all see")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await bob.client.room_read_markers(cast.room_id, cast.hello, cast.answer))
    await bob.until("m.fully_read", lambda: bob.room(cast.room_id).fully_read_marker == cast.hello)
    await alice.until("the receipt", lambda: alice.room(cast.room_id).read_receipts[bob.id].event_id == cast.answer)


@talk.step("a private receipt is nobody else’s")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    secret = await alice.says(cast.room_id, "Read this in private")
    await bob.sees(cast.room_id, secret)
    good(await bob.client.room_read_markers(cast.room_id, cast.answer, private_read_event=secret))
    private = (secret, "m.read.private")
    await bob.until("his own receipt", lambda: private in receipts(bob, cast.room_id, bob.id))
    # A public receipt after it comes after the private one would have.
    fence = await alice.says(cast.room_id, "And this in public")
    good(await bob.client.room_read_markers(cast.room_id, cast.answer, fence))
    await alice.until("the public receipt", lambda: (fence, "m.read") in receipts(alice, cast.room_id, bob.id))
    assert private not in receipts(alice, cast.room_id, bob.id)


@talk.step("alice redacts her message, which says so for both")
async def _(cast):
    regretted = await cast.alice.says(cast.room_id, "I regret this")
    await cast.bob.sees(cast.room_id, regretted)
    redaction = good(await cast.alice.client.room_redact(cast.room_id, regretted, "typo")).event_id
    for person in (cast.bob, cast.alice):
        event = await person.sees(cast.room_id, redaction)
        assert isinstance(event, RedactionEvent), event
        equal((event.redacts, event.reason), (regretted, "typo"))
    fetched = good(await cast.bob.client.room_get_event(cast.room_id, regretted)).event
    assert isinstance(fetched, RedactedEvent), fetched
    equal((fetched.redacter, fetched.reason), (cast.alice.id, "typo"))


@talk.step("bob may not redact what alice said")
async def _(cast):
    refused(await cast.bob.client.room_redact(cast.room_id, cast.hello), "M_FORBIDDEN")


def receipts(person: Person, room_id: str, of: str) -> list[tuple[str, str]]:
    """All receipts of somebody that a person was ever told of: event and type."""
    return [
        (receipt.event_id, receipt.receipt_type)
        for sync in person.syncs
        for event in (sync.rooms.join[room_id].ephemeral if room_id in sync.rooms.join else [])
        if isinstance(event, ReceiptEvent)
        for receipt in event.receipts
        if receipt.user_id == of
    ]
