"""The steps of a conversation, as steps.ts has them for the other client."""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

# How long one step may take, in seconds. Each thing that it waits for has an earlier deadline, with a better message.
STEP_S = 60

Act = Callable[[Any], Awaitable[None]]


class Part:
    """Steps that depend on those before them: the first that fails ends the part, and all parts if this one is a founding one."""

    def __init__(self, name: str, founding: bool = False) -> None:
        self.name = name
        self.founding = founding
        self.steps: list[tuple[str, Act]] = []

    def step(self, name: str) -> Callable[[Act], Act]:
        def add(act: Act) -> Act:
            self.steps.append((name, act))
            return act

        return add


def list_steps(parts: list[Part]) -> list[str]:
    return [f"{part.name}: {name}" for part in parts for name, _ in part.steps]


async def run_parts(parts: list[Part], cast: Any) -> None:
    """Prints a line a step that it comes to: `ok PART: NAME` or `FAILED PART: NAME: WHY`."""
    for part in parts:
        for name, act in part.steps:
            try:
                await asyncio.wait_for(act(cast), STEP_S)
                say(f"ok {part.name}: {name}")
            except Exception as error:
                say(f"FAILED {part.name}: {name}: {type(error).__name__} {error}")
                traceback.print_exc(file=sys.stderr)
                if part.founding:
                    return
                break


def say(text: str) -> None:
    print(text.replace("\n", " "), flush=True)
