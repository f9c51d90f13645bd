"""Our lanes beside BentoML's `batchable=True`: the same model, the same clients.

    python -m benchmarks.lanes

Both are given one second: the dispatcher as max_latency_ms, the lane as TANDEM_LATENCY_SLO. Prints a Markdown table.
Takes about two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.clients import Reply, burst, lone, open_loop, post

ROOT = Path(__file__).resolve().parent.parent
SIDES = {"BentoML batchable": "benchmarks.batchable_service:Batchable", "Tandem lane": "service.app:Tandem"}


def body(side: str, row: str) -> dict[str, Any]:
    return {"rows": [row]} if side.startswith("BentoML") else {"model": "steady", "rows": [row]}


def answer(side: str, reply: Reply) -> Any:
    """What a reply says of its row, so that two sides can be compared: the length of the answer."""
    if reply.status != 200:
        return None
    if side.startswith("BentoML"):
        return str(len(reply.content[0])) if reply.content else "nothing"
    return reply.content["predictions"][0].get("label")


@contextlib.contextmanager
def serving(target: str) -> Iterator[int]:
    """`bentoml serve` of one side; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {
            "BENTOML_HOME": home,
            "BENTOML_DO_NOT_TRACK": "True",
            "TANDEM_MODELS": "benchmarks.steady_model:SteadyModel",
            "TANDEM_LATENCY_SLO": "1s",
        }
        command = [str(Path(sys.executable).with_name("bentoml")), "serve", target, "--host", "127.0.0.1"]
        with (Path(home) / "log").open("wb") as log:
            process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, env=environ, stdout=log, stderr=log)
        try:
            ends = time.monotonic() + 60
            while asyncio.run(post(port, {}, timeout_s=2)).status == 0:
                if time.monotonic() > ends:
                    raise SystemExit((Path(home) / "log").read_text()[-2000:])
                time.sleep(0.2)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def measure(side: str, target: str) -> dict[str, str]:
    """One column of the table."""
    found: dict[str, str] = {}
    with serving(target) as port:
        asyncio.run(lone(port, lambda i: body(side, f"warm {i}"), count=30))  # both learn from what they have seen
        asyncio.run(burst(port, [body(side, f"warm together {i}") for i in range(60)]))
        before = asyncio.run(lone(port, lambda i: body(side, f"before {i}"), count=20))
        found["20 callers, one of them poison: answered"] = str(
            count(asyncio.run(burst(port, [body(side, f"row {i}" if i != 10 else "poison") for i in range(20)])))
        )
        rows = [f"{'x' * (i % 20)} {i}" if i != 3 else "drop" for i in range(10)]
        replies = asyncio.run(burst(port, [body(side, row) for row in rows]))
        wrong = [
            answer(side, r) not in (None, str(len(f"answer to {row.strip()}")))
            for r, row in zip(replies, rows, strict=True)
        ]
        found["10 callers, one of whose rows the model drops: given a wrong answer"] = str(sum(wrong))
        for size in (100, 200, 400):
            replies = asyncio.run(burst(port, [body(side, f"burst {size} {i}") for i in range(size)]))
            found[f"burst of {size}: answered (slowest)"] = (
                f"{count(replies)} ({max((r.seconds for r in replies if r.status == 200), default=0):.1f} s)"
            )
            time.sleep(6)  # BentoML's estimate is made anew every 5 s
        begun = time.monotonic()
        replies = asyncio.run(open_loop(port, lambda i: body(side, f"open {i}"), rate=200, seconds=6))
        took = time.monotonic() - begun
        good = sorted(reply.seconds for reply in replies if reply.status == 200)
        found["200 a second for 6 s: answered a second"] = f"{len(good) / took:.0f}"
        found["... p99 of those answered"] = f"{good[int(len(good) * 0.99)]:.1f} s" if good else "-"
        found["... not answered"] = statuses(replies)
        after = asyncio.run(lone(port, lambda i: body(side, f"after {i}"), count=20))
        found["a lone caller before all this / right after: p50"] = f"{p50_ms(before):.0f} / {p50_ms(after):.0f} ms"
    return found


def count(replies: list[Reply]) -> int:
    """Callers who were given a prediction: status 200, and no error row."""
    return sum(
        reply.status == 200 and not (isinstance(reply.content, dict) and "error" in reply.content["predictions"][0])
        for reply in replies
    )


def statuses(replies: list[Reply]) -> str:
    bad = [reply.status for reply in replies if reply.status != 200]
    return ", ".join(f"{bad.count(status)} x {status or 'connection lost'}" for status in sorted(set(bad))) or "none"


def p50_ms(replies: list[Reply]) -> float:
    return statistics.median(reply.seconds for reply in replies) * 1000


def main() -> None:
    columns = {side: measure(side, target) for side, target in SIDES.items()}
    print("| |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    for line in next(iter(columns.values())):
        print(f"| {line} |", " | ".join(found[line] for found in columns.values()), "|")


if __name__ == "__main__":
    main()
