"""Do something aside: in a thread where it is much, so that the event loop serves others meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


async def aside(
    is_much: bool, act: Callable[Arguments, Found], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Found:
    """Call `act`: in a thread where it is much, here where a thread would cost more than it spares.

    Only what goes from line to line in Python lets others run, or what gives up the interpreter by itself.
    """
    return await asyncio.to_thread(act, *arguments, **named) if is_much else act(*arguments, **named)
