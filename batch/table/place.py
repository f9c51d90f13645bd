"""Place: where the jobs of a table lie. Each has a folder of its own, and there it is as any plain output.

    _delta_log/                 which files readers see
    _tandem/asked-K.json        the folder of the job that was asked for as K, so that it is found again
    job-F/_tandem/job.json      one job: its plans, parts, manifest and _SUCCESS, as commit.py says
    job-F/part-F-S.parquet

F is the first letters of the job's fingerprint. Parts are immutable: with `--replace` the job begins anew beside what
it was, as `job-F-2`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batch.commit import JOB, OURS, JobRecord
from batch.errors import InputNotFound, TableRefused, UsageError
from batch.stores.storage import Store, open_store
from batch.table.delta_log import is_table, read_snapshot

#: In the table's configuration: the folder of the job whose answers readers see.
JOB_OF_TABLE = "tandem.job"
ASKED = f"{OURS}asked-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job writes.

    Attributes:
        root: the output; of a table too.
        target: where plans, parts and manifest go: the root, or the job's folder in a table.
        folder: that folder, `job-1a2b3c4d/`; empty on plain output and where a table's job has none yet.
        asked: the key that a table's job is found by again; empty on plain output.
        etag: of what lies at that key; None where nothing does.
    """

    root: Store
    target: Store
    folder: str = ""
    asked: str = ""
    etag: str | None = None


def find_place(output: str, settings: Mapping[str, Any] | None, **where: str | None) -> Place:
    """Where the job writes, or where it has before.

    Args:
        output: the job's.
        settings: of a table's job, what it was asked with, before anything was settled; None for plain output.
        where: the settings of the store's client.

    Raises:
        UsageError: a table where plain output was asked for, or the other way round, or somebody else's table.
    """
    root = open_store(output, **where)
    if settings is None:
        if root.head(JOB) is None and is_table(root):
            raise UsageError(
                f"{root.url} is a Delta table, whose readers would never see a part that is put beside its files. "
                "Add --table delta, or name another --output."
            )
        return Place(root=root, target=root)
    check_ours(root)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    asked = f"{ASKED}{digest}.json"
    there = root.head(asked)
    if there is None:
        return Place(root=root, target=root, asked=asked)
    folder = read_folder(root, asked)
    target = open_store(root.url_of(folder), **where)
    return Place(root=root, target=target, folder=folder, asked=asked, etag=there.etag)


def check_ours(root: Store) -> None:
    """See that a table may be made or changed here.

    Raises:
        UsageError: there is plain output, or a table that no job of ours began.
    """
    if root.head(JOB) is not None:
        raise UsageError(f"--table delta: {root.url} holds a job's plain output. Name an --output of the table's own.")
    snapshot = read_snapshot(root)
    if snapshot is not None and JOB_OF_TABLE not in snapshot.configuration:
        reason = "it was made by another program, whose rows the job's would replace"
        raise TableRefused(root.url, reason, advice="Name another --output.")


def read_folder(root: Store, asked: str) -> str:
    try:
        folder = json.loads(root.read(asked))["folder"]
        if not isinstance(folder, str) or not folder.startswith("job-") or folder.index("/") != len(folder) - 1:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{root.url_of(asked)} names no job's folder. Choose another --output.") from None
    return folder


def take_place(place: Place, record: JobRecord, *, anew: bool, attempt: str, **where: str | None) -> Place | None:
    """Give a settled job its folder in the table; None where another run was first, which may have settled otherwise.

    Args:
        place: as found.
        record: the job's.
        anew: a folder in which nothing lies, though the job has one.
        attempt: names this run.
        where: the settings of the store's client.
    """
    if not place.asked or (place.folder.startswith(folder_of(record)) and not anew):
        return place
    folder = free_folder(place.root, record, anew=anew)
    body = json.dumps({"folder": folder}).encode()
    if place.etag is None:
        first = place.root.put_if_absent(place.asked, body, attempt=attempt)
    else:
        first = place.root.put_if_match(place.asked, body, etag=place.etag, attempt=attempt)
    if not first:
        return None
    target = open_store(place.root.url_of(folder), **where)
    return Place(root=place.root, target=target, folder=folder, asked=place.asked)


def place_of(target: Store, record: JobRecord, **where: str | None) -> Place:
    """Where a job that has begun writes; a table is the folder above its own."""
    if record.begun.get("table") != "delta":
        return Place(root=target, target=target)
    above, _, name = target.url.rstrip("/").rpartition("/")
    return Place(root=open_store(f"{above}/", **where), target=target, folder=f"{name}/")


def folder_of(record: JobRecord) -> str:
    return f"job-{record.fingerprint[:8]}"


def free_folder(root: Store, record: JobRecord, *, anew: bool) -> str:
    """The last folder that this job has begun, or the first where nothing lies."""
    number, last = 1, ""
    while True:
        folder = f"{folder_of(record)}{f'-{number}' if number > 1 else ''}/"
        if root.head(folder + JOB) is None:
            return folder if anew or not last else last
        number, last = number + 1, folder


def list_folders(root: Store) -> list[str]:
    """The folders of the table's jobs; those that were begun anew are left out."""
    return sorted({read_folder(root, info.key) for info in root.list(ASKED)})


def current_folder(root: Store) -> str:
    """The folder of the job whose answers readers see; empty where there are none yet, or somebody rewrote them."""
    snapshot = read_snapshot(root)
    return snapshot.configuration.get(JOB_OF_TABLE, "") if snapshot else ""


def open_current(root: Store, **where: str | None) -> Store | None:
    """A table's job for whoever looks at the table: the one that readers see, else the only one; None: no table.

    Raises:
        InputNotFound: readers see none and there are several.
    """
    folders = list_folders(root)
    folder = current_folder(root) or (folders[0] if len(folders) == 1 else "")
    if not folder and folders:
        names = ", ".join(root.url_of(one) for one in folders)
        reason = "it is a table of several jobs, and readers see none of them yet"
        raise InputNotFound(root.url, reason, advice=f"Name one: {names}.")
    return open_store(root.url_of(folder), **where) if folder else None
