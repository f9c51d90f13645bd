"""Command: a job as the words after `tandem` in a container, and a name by which the same job is known again."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import pairwise
from typing import Any

from batch.errors import UsageError
from batch.spec import JobSpec

#: What a container's command may hold: the bound that ECS sets to an override, with room for its JSON.
MOST_BYTES = 7000
#: Settings of the engine: what is submitted is an array, whatever the file says of this machine.
ENGINES_OWN = frozenset({"engine", "array_size", "array_index", "ray_address"})
#: Settings that say which job it is. Others change how fast it runs, and are no reason to have it run twice.
NAMING = (
    *("model", "input", "output", "column", "keep", "where", "limit", "label", "on_long", "top_k", "shard_mb"),
    *("part_size", "runtime", "precision", "tolerance", "input_version", "table", "endpoint_url"),
)


def run_words(job: JobSpec, *, machines: int) -> list[str]:
    """The words: `run`, the array's size where there are several machines, and each setting that is no default.

    `tandem run` with these words is this job, setting for setting.

    Raises:
        UsageError: a flag cannot say it, or the words are too long for a container.
    """
    words = ["run"]
    if machines > 1:
        words += ["--engine", "array", "--array-size", str(machines)]
    for name, value in settings_of(job).items():
        if name not in ENGINES_OWN:
            words += flag_words(name, value)
    if (size := sum(len(word.encode()) + 3 for word in words)) > MOST_BYTES:
        raise UsageError(
            f"the job's settings are {size:,} bytes as flags, and a container's command may have {MOST_BYTES:,}; "
            "shorten where, keep or column."
        )
    return words


def settings_of(job: JobSpec) -> dict[str, Any]:
    """The settings that are no defaults, as a job file would hold them."""
    return job.model_dump(mode="json", exclude_defaults=True)


def flag_words(name: str, value: Any) -> list[str]:
    """One setting as flags.

    Raises:
        UsageError: a column's name has a comma, which --keep takes for the end of it.
    """
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{name}"]
    if name == "keep":
        if bad := [column for column in value if "," in column or column != column.strip() or not column]:
            raise UsageError(f"keep: the column {bad[0]!r} cannot be named as a flag; give it another name.")
        return [flag, ",".join(value)]
    if isinstance(value, dict):
        return [word for left, right in value.items() for word in (flag, f"{left}={right}")]
    if isinstance(value, list):
        return [word for item in value for word in (flag, str(item))]
    return [flag, str(value)]


def job_name(job: JobSpec) -> str:
    """A name of letters, digits and hyphens, the same for the same job: its output's last folder and a digest."""
    said = job.model_dump(mode="json", include=set(NAMING))
    said |= {place: said[place].rstrip("/") for place in ("model", "input", "output")}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
    folder = re.sub(r"[^a-z0-9]+", "-", job.output.rstrip("/").rpartition("/")[2].lower()).strip("-")[:24].strip("-")
    return f"tandem-{folder}-{digest}" if folder else f"tandem-{digest}"


def output_of(words: list[str]) -> str | None:
    """The output that a container's command names; None where it names none."""
    return next((value for flag, value in pairwise(words) if flag == "--output"), None)
