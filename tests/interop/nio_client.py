"""A conversation through matrix-nio, every step asserted: `python nio_client.py URL`, or `--list` for the steps."""

import asyncio
import sys
from types import SimpleNamespace

from nio_parts.conversation import first_room, registration, talk
from nio_parts.history import history, sessions
from nio_parts.person import Complaints, Person
from nio_parts.state import doors, own_data, profiles, room_state
from nio_parts.steps import list_steps, run_parts

PARTS = [registration, first_room, talk, room_state, profiles, own_data, doors, history, sessions]


async def converse(url: str) -> None:
    # Who and what the parts share; each is set by the step that makes it.
    cast = SimpleNamespace(url=url, complaints=Complaints())
    await run_parts(PARTS, cast)
    for person in Person.everybody:
        await person.stop()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: nio_client.py URL | --list")
    if sys.argv[1] == "--list":
        print("\n".join(list_steps(PARTS)))
        return
    asyncio.run(converse(sys.argv[1]))


main()
