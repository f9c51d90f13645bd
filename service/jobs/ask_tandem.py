"""What the command is asked about a job: `tandem plan` before it is taken, `tandem report` when somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.locate import cache_home, store_home
from models.say import one_line
from service.bento import ROOT
from service.jobs import process
from service.jobs.account import MOST_SAID
from service.jobs.book import kept
from service.jobs.errors import JobConflict, JobForbidden, JobRefused, JobsUnavailable
from service.jobs.name_settings import name_settings

#: A plan that takes longer is not waited for: the job is taken, and says itself what is wrong.
PLAN_S = 20.0
REPORT_S = 60.0
#: A look must not cost the endpoint much, and yet come to its end beside a busy one.
NICE = 10
#: What the exit codes of `tandem` mean to a caller.
REFUSALS: Mapping[int, type[JobRefused] | type[JobConflict] | type[JobForbidden]] = {
    2: JobRefused,
    3: JobConflict,
    77: JobForbidden,
}


async def plan_job(folder: Path, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run would do, by footers alone; None where that takes too long to wait for, or the store is away.

    Costs a process of a second, and a request for each object of the input.

    Raises:
        JobRefused, JobConflict, JobForbidden: `tandem plan` says that the job cannot be run, and why.
        JobsUnavailable, JobsFull: there is no place to write the job file.
    """
    with kept():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = Path(tempfile.mkdtemp(prefix=".plan-", dir=folder))
    try:
        with kept():
            process.write_spec(place, {**spec, "log": "json"})
        words = process.command_of("plan", "--no-measure", "--json", process.SPEC)
        found = await run_tandem(words, place, timeout_s=PLAN_S)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if found is None:
        return None
    code, out, said = found
    if code in REFUSALS:
        raise REFUSALS[code](say_to_caller(said, folder))
    if code:
        return None
    planned: dict[str, Any] = json.loads(out)
    return planned


async def write_report(folder: Path, spec: Mapping[str, Any], *, jobs_folder: Path) -> Path:
    """Have the page of a job's output written into the job's folder.

    Raises:
        JobRefused: it cannot be made, and why.
        JobsUnavailable: it takes too long.
    """
    path = folder / process.REPORT
    arriving = folder / f".{process.REPORT}.{os.getpid()}"
    with kept():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        region = ("--region", spec["region"]) if spec.get("region") else ()
        command = process.command_of("report", spec["output"], "-o", str(arriving), *region)
        found = await run_tandem(command, folder, timeout_s=REPORT_S)
        if found is None:
            raise JobsUnavailable(f"the report was not made within {REPORT_S:.0f} s")
        if found[0]:
            raise JobRefused(say_to_caller(found[2].removeprefix("tandem: "), jobs_folder))
        with kept():
            arriving.replace(path)
    finally:
        with contextlib.suppress(OSError):
            arriving.unlink(missing_ok=True)
    return path


async def run_tandem(command: list[str], folder: Path, *, timeout_s: float) -> tuple[int, bytes, str] | None:
    """Run a command to its end: exit code, what it printed, and the last line that it said; None after `timeout_s`."""
    with kept():
        child = await asyncio.create_subprocess_exec(
            "nice", "-n", str(NICE), *command,
            cwd=folder, env=process.environment(), process_group=0,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(child.communicate(), timeout_s)
    except TimeoutError:
        return None
    finally:
        if child.returncode is None:  # also where the caller has gone
            process.end_at_once(child.pid)
            await asyncio.shield(child.wait())
    code = child.returncode or 0
    return code, out, last_said(err.decode("utf-8", "replace"))


def last_said(text: str) -> str:
    """The message of the last line, be it JSON or plain."""
    last = (text.strip().splitlines() or [""])[-1]
    try:
        return str(json.loads(last)["message"])
    except (ValueError, KeyError, TypeError):
        return last


def say_to_caller(text: str, folder: Path) -> str:
    """A line of the command's without what is this machine's own business."""
    for own, called in (
        (folder, "jobs"), (store_home(), "the model store"), (cache_home(), "the cache"), (ROOT, "the server"),
        (Path(sys.prefix), "python"), (Path.home(), "~"),
    ):  # fmt: skip
        if str(own) != "/":
            text = re.sub(re.escape(str(own)) + r"(?![\w.-])", called, text)
    return name_settings(one_line(text))[:MOST_SAID].removeprefix(f"{process.SPEC}: ")
