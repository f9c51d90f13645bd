"""Serverless: a job in a function that is ended after some minutes, whatever it is doing; `tandem run` in a process.

The state machine of infra/aws/pipeline.yaml asks first what there is to do, and then runs it: small work here, call
after call as long as one ends with 75, large work on many machines. What a call has committed the next one finds.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from typing import Any, Protocol

from batch.errors import JobError
from batch.spec import make_job
from batch.submit.command import run_words

#: Seconds before its end at which a call begins no shard, is told to end, and is ended.
NO_SHARD_S, TERM_S, KILL_S = 60.0, 30.0, 10.0
#: Variables of the function: what it runs itself, what a machine of an array is to have, how many there are at most.
SMALL_MB, MACHINE_MB, MOST_MACHINES = "TANDEM_SMALL_MB", "TANDEM_MACHINE_MB", "TANDEM_MOST_MACHINES"


class Context(Protocol):
    """What AWS Lambda says of a call."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until it is ended."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Answer one call.

    Args:
        event: `job`, the settings of a job file; `action`, `weigh` or `run`.
        context: of the call.

    Returns:
        `exit_code` as of `tandem run`, and its last line as `said`. Of `weigh`, where that is 0, also `small`, and
        `machines` and `words` (the command of each) of an array. Nothing is raised for a job that cannot be run: trying
        again is decided by the exit code alone.
    """
    left_s = context.get_remaining_time_in_millis() / 1000
    try:
        job = make_job(event["job"] if isinstance(event.get("job"), dict) else {}, where="job: ")
        words = run_words(job, machines=1)[1:]
    except JobError as error:
        return {"exit_code": error.exit_code, "said": str(error)}
    if event.get("action") == "run":
        minutes = max(left_s - NO_SHARD_S, 1.0) / 60
        if job.max_minutes is None or job.max_minutes > minutes:
            words += ["--max-minutes", f"{minutes:.3f}"]
        code, out, err = tandem("run", *words, left_s=left_s)
        return {"exit_code": code, "said": last_line(err if code else out)}
    code, out, err = tandem("plan", *words, "--no-measure", "--json", left_s=left_s)
    if code:
        return {"exit_code": code, "said": last_line(err)}
    todo = json.loads(out)
    shards, share = todo["shards_to_do"], todo["input_rows_to_do"] / max(todo["input_rows"], 1)
    megabytes = todo["input_bytes"] * share / 1e6
    wanted = math.ceil(megabytes / float(os.environ.get(MACHINE_MB, "1000")))
    machines = max(2, min(wanted, shards, int(os.environ.get(MOST_MACHINES, "20"))))
    return {
        "exit_code": 0,
        "said": f"{shards} shards of {megabytes:.1f} MB are left",
        "small": shards < 2 or megabytes <= float(os.environ.get(SMALL_MB, "256")),
        "machines": machines,
        "words": run_words(job, machines=machines),
    }


def tandem(*words: str, left_s: float) -> tuple[int, str, str]:
    """Exit code, output and lines of a command; 75 where it had to be ended in time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batch.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    over = time.monotonic() + left_s
    for before_s, number in ((TERM_S, signal.SIGTERM), (KILL_S, signal.SIGKILL)):
        try:
            out, err = process.communicate(timeout=max(over - before_s - time.monotonic(), 0.5))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    else:
        out, err = process.communicate()
    sys.stderr.write(err)  # to the function's log
    return (process.returncode if process.returncode >= 0 else 75), out, err


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].removeprefix("tandem: ")[:2000]
