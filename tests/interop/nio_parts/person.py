"""A person with one matrix-nio client, and what they see through it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from nio import (
    AccountDataEvent,
    AsyncClient,
    AsyncClientConfig,
    EphemeralEvent,
    ErrorResponse,
    Event,
    InviteEvent,
    LoginResponse,
    MatrixRoom,
    RegisterResponse,
    Response,
    SyncResponse,
    ToDeviceEvent,
)

# How long a step waits for what it expects, in seconds. Nothing here takes nearly as long; the machine may be busy.
DEADLINE_S = 20
PASSWORD = "correct horse battery staple"

T = TypeVar("T")
R = TypeVar("R", bound=Response)


class Complaints(logging.Handler):
    """What the library logs as a warning or worse: events that it could not read, for example."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger("nio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # Said of every refusal too. An answer that it could not read becomes an error, which the step it was for shows.
        if not message.startswith("Error validating response"):
            self.lines.append(f"{record.name}: {message}")


class Person:
    # All there were: whoever made them may have failed before closing them.
    everybody: list["Person"] = []

    def __init__(self, url: str, user: str) -> None:
        self.url = url
        # No retries in silence: an answer that asks for patience is an error here.
        config = AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0)
        self.client = AsyncClient(url, user, config=config)
        self.events: dict[str, dict[str, Event]] = {}
        self.to_device: list[ToDeviceEvent] = []
        self.account_data: list[AccountDataEvent] = []
        self.sync_errors: list[str] = []
        self.syncs: list[SyncResponse] = []
        self._news = asyncio.Condition()
        self._loop: asyncio.Task[None] | None = None
        self.client.add_event_callback(self._on_event, (Event, InviteEvent))
        self.client.add_ephemeral_callback(self._on_news, (EphemeralEvent,))
        self.client.add_room_account_data_callback(self._on_news, (AccountDataEvent,))
        self.client.add_global_account_data_callback(self._on_account_data, (AccountDataEvent,))
        self.client.add_to_device_callback(self._on_to_device, (ToDeviceEvent,))
        self.client.add_response_callback(self._on_response)
        Person.everybody.append(self)

    @classmethod
    async def register(cls, url: str, localpart: str) -> "Person":
        person = cls(url, localpart)
        expect(RegisterResponse, await person.client.register(localpart, PASSWORD, "Interop"))
        return person

    @classmethod
    async def log_in(cls, url: str, user: str, device_id: str = "") -> "Person":
        person = cls(url, user)
        person.client.device_id = device_id or None
        expect(LoginResponse, await person.client.login(PASSWORD, "Interop"))
        return person

    def again(self) -> "Person":
        """The session in another client, which knows nothing of this one."""
        other = Person(self.url, self.id)
        other.client.restore_login(self.id, self.client.device_id, self.client.access_token)
        return other

    @property
    def id(self) -> str:
        return self.client.user_id

    async def start(self, **options: Any) -> "Person":
        """Begins to sync, and waits until the first answer is taken in."""
        self._loop = asyncio.create_task(self.client.sync_forever(timeout=30_000, **options))
        await self.until("the first sync", lambda: self.syncs or self._loop.done())
        if self._loop.done():
            self._loop.result()
        return self

    async def stop(self) -> None:
        """Ends the client, not its session."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self.client.close()

    async def until(self, what: str, probe: Callable[[], T]) -> T:
        """Waits until the client knows what `probe` looks for; raises at the deadline, naming `what`."""

        async def look() -> T:
            async with self._news:
                while not (found := self._tried(probe)):
                    await self._news.wait()
                return found

        try:
            return await asyncio.wait_for(look(), DEADLINE_S)
        except asyncio.TimeoutError:
            errors = ", ".join(self.sync_errors) or "none"
            raise AssertionError(f"{self.id} waited {DEADLINE_S} s for {what}; errors of sync: {errors}") from None

    @staticmethod
    def _tried(probe: Callable[[], T]) -> T | None:
        """What is not known yet is often a missing key."""
        try:
            return probe()
        except KeyError:
            return None

    def room(self, room_id: str) -> MatrixRoom:
        return self.client.rooms[room_id]

    def membership(self, room_id: str) -> str | None:
        """As of the last answer that names the room. nio itself keeps a room that was left."""
        for sync in reversed(self.syncs):
            for membership in ("join", "invite", "leave"):
                if room_id in getattr(sync.rooms, membership):
                    return membership
        return None

    def bodies(self, room_id: str) -> list[str]:
        return [event.body for event in self.events.get(room_id, {}).values() if hasattr(event, "body")]

    async def sees(self, room_id: str, event_id: str) -> Event:
        return await self.until(f"event {event_id}", lambda: self.events[room_id][event_id])

    async def says(self, room_id: str, body: str) -> str:
        return await self.sends(room_id, "m.room.message", {"msgtype": "m.text", "body": body})

    async def sends(self, room_id: str, event_type: str, content: dict[str, Any], tx_id: str | None = None) -> str:
        return good(await self.client.room_send(room_id, event_type, content, tx_id)).event_id

    async def _on_event(self, room: MatrixRoom, event: Event | InviteEvent) -> None:
        if isinstance(event, Event):
            self.events.setdefault(room.room_id, {})[event.event_id] = event
        await self._tell()

    async def _on_news(self, *_: Any) -> None:
        await self._tell()

    async def _on_account_data(self, event: AccountDataEvent) -> None:
        self.account_data.append(event)
        await self._tell()

    async def _on_to_device(self, event: ToDeviceEvent) -> None:
        self.to_device.append(event)
        await self._tell()

    async def _on_response(self, response: Response) -> None:
        if isinstance(response, ErrorResponse):
            self.sync_errors.append(str(response))
        elif isinstance(response, SyncResponse):
            self.syncs.append(response)
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def good(response: Any) -> Any:
    """What was answered, which is no error."""
    assert not isinstance(response, ErrorResponse), str(response)
    return response


def expect(kind: type[R], response: Any) -> R:
    assert isinstance(response, kind), f"{type(response).__name__} where {kind.__name__} was due: {response}"
    return response


def refused(response: Any, errcode: str) -> None:
    """Asserts that the server refuses, with this error code."""
    assert isinstance(response, ErrorResponse), f"accepted, where {errcode} was due: {response}"
    assert response.status_code == errcode, str(response)


def equal(actual: Any, expected: Any) -> None:
    assert actual == expected, f"{actual!r} where {expected!r} was due"
