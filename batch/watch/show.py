"""Show: a status as lines for people, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import click

from batch.amounts import spell
from batch.errors import StoreUnavailable
from batch.watch.watched import Status, Watched


def status_lines(found: Status) -> Iterator[str]:
    """A status in full."""
    yield f"job       {found['fingerprint'][:8]}, model {found['model']['tag']} ({found['model']['variant']})"
    yield f"shards    {found['shards_done']} of {found['shards']}"
    yield f"rows      {found['rows_done']:,} of {found['rows']:,} input rows are in committed parts"
    yield f"errors    {found['error_rows']:,} error rows among {found['output_rows']:,}"
    if found["finished"]:
        rows, errors = found["output_rows"], found["error_rows"]
        yield f"finished  {rows:,} rows, {errors} error rows; digest {found['digest'][:12]}"
        return
    yield f"rate      {in_rows(found['rows_per_s']).removeprefix('rate ')}{time_left(found)}"
    if "last_commit" in found:
        yield f"last      commit {found['last_commit']}, {spell(found['seconds_since_commit'])} ago"
    yield f"finished  {no_because(found)}"


def status_line(found: Status) -> str:
    """A status in one line."""
    words = [
        f"{found['shards_done']} of {found['shards']} shards",
        f"{found['rows_done']:,} of {found['rows']:,} rows",
        f"{found['error_rows']:,} error rows",
    ]
    if found["finished"]:
        return ", ".join([*words, f"finished; digest {found['digest'][:12]}"])
    if found["stalled"]:
        return ", ".join([*words, f"no progress since {found['last_commit']}"])
    return ", ".join([*words, in_rows(found["rows_per_s"]) + time_left(found)])


def no_because(found: Status) -> str:
    """Whether somebody should do something about a job that is not finished."""
    if found["stalled"]:
        return f"no, and no progress since {found['last_commit']}: run the same `tandem run` again to go on"
    if found["shards"] and found["shards_done"] == found["shards"]:
        return "no: every part is there, the manifest is not; where nothing is at work, the same `tandem run` writes it"
    return "no; where no run is at work, the same `tandem run` again goes on"


def in_rows(rows_per_s: float | None) -> str:
    if rows_per_s is None:
        return "rate not known yet"
    return f"{rows_per_s:,.0f} rows/s" if rows_per_s >= 10 else f"{rows_per_s:.2g} rows/s"


def time_left(found: Status) -> str:
    left = found["seconds_left"]
    return "" if left is None else f", about {spell(left)} left"


def watch_output(watched: Watched, *, every_s: float, as_json: bool) -> None:
    """Show the status until the job is finished, or somebody presses Ctrl-C.

    In place on a terminal; elsewhere a line whenever something has changed. A store that does not answer for a while
    ends nothing: it is said, and looked again.
    """
    in_place = sys.stdout.isatty() and not as_json
    shown, said = 0, ""
    try:
        while True:
            try:
                found = watched.look()
            except StoreUnavailable as error:
                click.echo(f"tandem: {error}", err=True)
                time.sleep(every_s)
                continue
            if in_place:
                lines = list(status_lines(found))
                click.echo(f"\x1b[{shown}F\x1b[J" * bool(shown) + "\n".join(lines))
                shown = len(lines)
            elif (line := json.dumps(found) if as_json else status_line(found)) != said or as_json:
                click.echo(line if as_json else f"{time.strftime('%H:%M:%S')} {line}")
                said = line
            if found["finished"]:
                return
            time.sleep(every_s)
    except KeyboardInterrupt:
        click.echo("", err=True)
