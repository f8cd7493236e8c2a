"""Coming late, looking back, and the end of sessions."""

from nio import DeleteDevicesAuthResponse, DeleteDevicesResponse, MessageDirection, RoomPreset, SyncResponse

from .person import PASSWORD, Person, equal, expect, good, refused
from .steps import Part

history = Part("history")
sessions = Part("sessions")


def messages(start: int, end: int) -> list[str]:
    return [f"message {n}" for n in range(start, end)]


def bodies(events) -> list[str]:
    return [event.body for event in events if hasattr(event, "body")]


@history.step("a room fills with messages")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    cast.long = good(await alice.client.room_create(name="Long", preset=RoomPreset.public_chat)).room_id
    good(await bob.client.join(cast.long))
    cast.said = [await alice.says(cast.long, text) for text in messages(0, 30)]
    await bob.sees(cast.long, cast.said[-1])


@history.step("a new device knows the end of the room, by its filter")
async def _(cast):
    cast.late = await Person.log_in(cast.url, cast.bob.id)
    room = {"timeline": {"limit": 5}, "rooms": [cast.long]}
    uploaded = good(await cast.late.client.upload_filter(room=room)).filter_id
    await cast.late.start(first_sync_filter=uploaded)
    equal(list(cast.late.client.rooms), [cast.long])
    equal(cast.late.bodies(cast.long), messages(25, 30))
    equal(set(cast.late.room(cast.long).users), {cast.alice.id, cast.bob.id})


@history.step("paginating back reaches the first event, without a gap or a double")
async def _(cast):
    timeline = cast.late.syncs[0].rooms.join[cast.long].timeline
    assert timeline.limited
    seen, token = list(reversed(timeline.events)), timeline.prev_batch
    while token is not None:
        page = good(await cast.late.client.room_messages(cast.long, token, limit=7))
        assert page.start == token and len(page.chunk) <= 7
        assert page.chunk or page.end is None
        seen += page.chunk
        token = page.end
    equal(bodies(reversed(seen)), messages(0, 30))
    equal(seen[-1].source["type"], "m.room.create")
    equal(len({event.event_id for event in seen}), len(seen))


@history.step("paginating forward from there comes back, with a filter")
async def _(cast):
    back = good(await cast.late.client.room_messages(cast.long, limit=4, message_filter={"types": ["m.room.message"]}))
    equal(bodies(back.chunk), list(reversed(messages(26, 30))))
    forward = await cast.late.client.room_messages(cast.long, back.end, direction=MessageDirection.front, limit=3)
    equal(bodies(good(forward).chunk), messages(26, 29))


@history.step("an old message has its context")
async def _(cast):
    context = good(await cast.late.client.room_context(cast.long, cast.said[10], limit=4))
    equal(context.event.event_id, cast.said[10])
    equal(bodies(context.events_before), ["message 9", "message 8"])
    equal(bodies(context.events_after), ["message 11", "message 12"])
    before = good(await cast.late.client.room_messages(cast.long, context.start, limit=2))
    equal(bodies(before.chunk), ["message 7", "message 6"])


@history.step("a new client goes on from the token of the old one")
async def _(cast):
    since = cast.late.client.next_batch
    await cast.late.stop()
    for text in messages(30, 33):
        last = await cast.alice.says(cast.long, text)
    cast.late = cast.late.again()
    await cast.late.start(since=since, full_state=True)
    await cast.late.sees(cast.long, last)
    equal(cast.late.bodies(cast.long), messages(30, 33))
    room = cast.late.room(cast.long)
    equal((room.name, set(room.users)), ("Long", {cast.alice.id, cast.bob.id}))
    back = await cast.late.says(cast.long, "I am back")
    await cast.alice.sees(cast.long, back)


@history.step("the new device logs out")
async def _(cast):
    equal(cast.late.sync_errors, [])
    gone = cast.late.again()
    good(await cast.late.client.logout())
    await cast.late.stop()
    refused(await gone.client.whoami(), "M_UNKNOWN_TOKEN")


@sessions.step("a wrong password is refused")
async def _(cast):
    nobody = Person(cast.url, cast.bob.id)
    refused(await nobody.client.login("wrong"), "M_FORBIDDEN")


@sessions.step("bob logs out, and his token is worth nothing")
async def _(cast):
    equal(cast.bob.sync_errors, [])
    gone = cast.bob.again()
    good(await cast.bob.client.logout())
    await cast.bob.stop()
    refused(await gone.client.whoami(), "M_UNKNOWN_TOKEN")


@sessions.step("bob logs in with his password on the same device, and finds all as it was")
async def _(cast):
    missed = await cast.alice.says(cast.room_id, "While you were away")
    device_id = cast.bob.client.device_id
    cast.bob = await Person.log_in(cast.url, "nio-bob", device_id)
    equal((cast.bob.id, cast.bob.client.device_id), ("@nio-bob:localhost", device_id))
    await cast.bob.start(full_state=True)
    equal((await cast.bob.sees(cast.room_id, missed)).body, "While you were away")
    room = cast.bob.room(cast.room_id)
    equal((room.name, room.topic), ("Bob’s", "With milk"))
    equal(room.users[cast.alice.id].display_name, "Alice Liddell")


@sessions.step("they talk on")
async def _(cast):
    await cast.alice.sees(cast.room_id, await cast.bob.says(cast.room_id, "Back again"))
    await cast.bob.sees(cast.room_id, await cast.alice.says(cast.room_id, "Welcome back"))


@sessions.step("alice has two devices, and names one")
async def _(cast):
    alice = cast.alice
    cast.kitchen = await Person.log_in(cast.url, alice.id)
    good(await alice.client.update_device(cast.kitchen.client.device_id, {"display_name": "Kitchen"}))
    devices = {device.id: device.display_name for device in good(await alice.client.devices()).devices}
    equal(devices, {alice.client.device_id: "Interop", cast.kitchen.client.device_id: "Kitchen"})


@sessions.step("she deletes it with her password, and it is logged out")
async def _(cast):
    alice, gone = cast.alice, cast.kitchen.client.device_id
    asked = expect(DeleteDevicesAuthResponse, await alice.client.delete_devices([gone]))
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.id}, "session": asked.session}
    # nio takes each answer with a session for the question; what is wrong stands in it too.
    wrong = expect(DeleteDevicesAuthResponse, await alice.client.delete_devices([gone], {**auth, "password": "wrong"}))
    equal((await wrong.transport_response.json())["errcode"], "M_FORBIDDEN")
    expect(DeleteDevicesResponse, await alice.client.delete_devices([gone], {**auth, "password": PASSWORD}))
    equal([device.id for device in good(await alice.client.devices()).devices], [alice.client.device_id])
    refused(await cast.kitchen.client.whoami(), "M_UNKNOWN_TOKEN")
    refused(await cast.kitchen.client.sync(), "M_UNKNOWN_TOKEN")


@sessions.step("bob leaves and forgets the room, alice sees it")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    good(await bob.client.room_leave(cast.room_id))
    await alice.until("his leave", lambda: bob.id not in alice.room(cast.room_id).users)
    await bob.until("his own leave", lambda: bob.membership(cast.room_id) == "leave")
    good(await bob.client.room_forget(cast.room_id))
    assert cast.room_id not in good(await bob.client.joined_rooms()).rooms
    equal((alice.sync_errors, bob.sync_errors), ([], []))


@sessions.step("logging out of all devices ends every session")
async def _(cast):
    alice = cast.alice
    other = await Person.log_in(cast.url, alice.id)
    expect(SyncResponse, await other.client.sync(full_state=True))
    gone = alice.again()
    await alice.stop()
    good(await other.client.logout(all_devices=True))
    refused(await gone.client.whoami(), "M_UNKNOWN_TOKEN")


@sessions.step("the library had nothing to complain about")
async def _(cast):
    equal(cast.complaints.lines, [])
