"""Show: a submitted job and its output together, once or until the job is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from batch.amounts import counted
from batch.errors import AccessDenied, InputNotFound, StoreUnavailable
from batch.submit.ran import Ran
from batch.watch.show import status_line, status_lines
from batch.watch.watched import Status, Watched
from models.say import one_line

#: Machines that failed, shown one by one.
SHOWN = 8


class Followed:
    """A submitted job that is looked at again and again, with its output."""

    def __init__(self, look: Callable[[], Ran], **where: str | None) -> None:
        self._look, self._where = look, where
        self._watched: Watched | None = None
        self.cannot_read = ""

    def look(self) -> tuple[Ran, Status | None]:
        """Where the job stands; its output's status, None where nothing is there yet or we may not look."""
        ran, self.cannot_read = self._look(), ""
        if ran.output is None:
            self.cannot_read = "the job's command names none"
            return ran, None
        try:
            self._watched = self._watched or Watched(ran.output, **self._where)
            return ran, self._watched.look()
        except InputNotFound:
            return ran, None
        except AccessDenied as error:
            self.cannot_read = str(error)
            return ran, None

    def exit_code(self, ran: Ran, status: Status | None) -> int:
        return ran.exit_code(None if self.cannot_read else status is not None and bool(status["finished"]))

    def lines(self, ran: Ran, status: Status | None) -> Iterator[str]:
        """Everything, for people."""
        yield f"submitted {ran.id}, {ran.name}"
        yield f"machines  {in_states(ran)}"
        yield from failed_lines(ran)
        if status is None:
            yield f"output    {ran.output or 'not known'}: {self.cannot_read or 'nothing is there yet'}"
        else:
            lines = list(status_lines(status))
            yield f"output    {ran.output}"
            yield from lines if status["finished"] else lines[:-1]
        yield f"ended     {self.verdict(ran, status)}"

    def verdict(self, ran: Ran, status: Status | None) -> str:
        """Whether it is over, and what to do about it."""
        if not ran.is_over:
            return "no; follow it: --follow"
        code = self.exit_code(ran, status)
        if code == 0:
            lost = f"; what {counted(len(ran.failed), 'machine')} left undone, the others did" if ran.failed else ""
            return f"exit code 0: done{lost}"
        if code == 75:
            return "exit code 75: what is committed stays; the same `tandem submit` goes on"
        return f"exit code {code}: not worth the same again; `tandem --help` says what each code means"

    def line(self, ran: Ran, status: Status | None) -> str:
        """The same in one line."""
        return f"{in_states(ran)}; {status_line(status) if status else self.cannot_read or 'no output yet'}"

    def to_json(self, ran: Ran, status: Status | None) -> dict[str, Any]:
        failed = [{"machine": one.machine, "exit_code": one.exit_code, "reason": one.reason} for one in ran.failed]
        return {
            "id": ran.id,
            "name": ran.name,
            "output": ran.output,
            "machines": dict(ran.states),
            "failed": failed,
            "over": ran.is_over,
            "exit_code": self.exit_code(ran, status) if ran.is_over else None,
            "status": status,
        }


def in_states(ran: Ran) -> str:
    return ", ".join(f"{many} {state}" for state, many in ran.states.items())


def failed_lines(ran: Ran) -> Iterator[str]:
    for failed in ran.failed[:SHOWN]:
        code = "no exit code" if failed.exit_code is None else f"exit code {failed.exit_code}"
        why = f": {one_line(failed.reason)[:160]}" if failed.reason else ""
        yield f"failed    machine {failed.machine}: {code}{why}"
    if (more := len(ran.failed) - SHOWN) > 0:
        yield f"failed    and {counted(more, 'more machine')}"


def show(followed: Followed, *, as_json: bool = False) -> int:
    """Show it once; the exit code: 0 while it is at work, then the job's own."""
    ran, status = followed.look()
    if as_json:
        click.echo(json.dumps(followed.to_json(ran, status), indent=1))
    else:
        for line in followed.lines(ran, status):
            click.echo(line)
    return followed.exit_code(ran, status)


def follow(followed: Followed, *, every_s: float, as_json: bool = False) -> int:
    """Show a line whenever something has changed, until it is over; then all of it. The job's exit code.

    Who is asked and does not answer for a while ends nothing: it is said, and looked again.
    """
    said = ""
    while True:
        try:
            ran, status = followed.look()
        except StoreUnavailable as error:
            click.echo(f"tandem: {error}", err=True)
            time.sleep(every_s)
            continue
        if as_json:
            click.echo(json.dumps(followed.to_json(ran, status)))
        elif (line := followed.line(ran, status)) != said:
            click.echo(f"{time.strftime('%H:%M:%S')} {line}")
            said = line
        if ran.is_over:
            break
        time.sleep(every_s)
    for line in () if as_json else followed.lines(ran, status):
        click.echo(line)
    return followed.exit_code(ran, status)
