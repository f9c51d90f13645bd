"""Turns: who waits, and who is told to come again."""

from __future__ import annotations

import asyncio

import pytest

from service.jobs.errors import JobsBusy
from service.jobs.turns import MOST_WAITING, Turns


def test_a_few_wait_the_next_is_told_to_come_again_and_who_leaves_makes_room() -> None:
    async def check() -> None:
        turns, done, go = Turns(2, "a plan"), list[int](), asyncio.Event()

        async def want(number: int) -> None:
            async with turns.turn():
                await go.wait()
                done.append(number)

        waiting = [asyncio.create_task(want(number)) for number in range(2 + MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(JobsBusy, match=f"^{MOST_WAITING} others wait for a plan"):
            await want(99)
        waiting[-1].cancel()
        await asyncio.sleep(0)
        another = asyncio.create_task(want(100))
        await asyncio.sleep(0)
        assert not another.done()
        go.set()
        await asyncio.gather(*waiting[:-1], another)
        assert sorted(done) == [*range(1 + MOST_WAITING), 100]

    asyncio.run(asyncio.wait_for(check(), 30))
