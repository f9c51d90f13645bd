"""The Delta log: numbered files under `_delta_log/`, each a version of the table, read and written through our store.

A version exists from the moment its file does, whole or not at all, and `Store.put_if_absent` lets one of several
writers have a number and tells the others: so a reader sees all of a version or nothing of it. What is understood is
the protocol that every reader has (https://github.com/delta-io/delta/blob/master/PROTOCOL.md): reader 1 to 3, writer 2,
timestamps without a zone. What asks for more is refused by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import TableRefused
from batch.stores.storage import Store

LOG = "_delta_log/"
#: Who wrote a version, where it was us.
OURS = "tandem"
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
#: What a reader may be asked for without another meaning of the files that are read here.
_READER_FEATURES = frozenset({"timestampNtz", "vacuumProtocolCheck", "columnMapping", "deletionVectors"})
_WRITER_FEATURES = frozenset({"timestampNtz", "appendOnly", "invariants"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file that a version of the table is made of.

    Attributes:
        key: the object, relative to the table's root.
        partition: partition column -> its value as text.
        size_bytes: of the object.
        stats: numbers of rows, least and greatest values, as the log has them: JSON, or None.
        deleted_rows: whether some of its rows are deleted by a vector beside it.
    """

    key: str
    partition: Mapping[str, str | None]
    size_bytes: int
    stats: str | None = None
    deleted_rows: bool = False

    @property
    def path(self) -> str:
        """The key as the log writes it: a relative URI."""
        return quote(self.key, safe="/=-_.~")


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A version of a table: its files, and what else the log says up to there.

    Attributes:
        version: its number.
        files: path in the log -> file.
        metadata: the `metaData` action: schema, partition columns, configuration.
        protocol: what the table asks of readers and writers.
        transactions: whoever named what it wrote, and is not to write it twice.
        moved: the newest version up to there that moved readers to other rows; not one that sets properties, compacts
            files or notes a VACUUM.
        info: the `commitInfo` of that one.
    """

    version: int
    files: dict[str, TableFile] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    moved: int = -1
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def configuration(self) -> Mapping[str, str]:
        return dict(self.metadata.get("configuration") or {})

    @property
    def partition_columns(self) -> list[str]:
        return list(self.metadata.get("partitionColumns") or [])

    def apply(self, action: Mapping[str, Any]) -> None:
        """Take one action of the log in."""
        if add := action.get("add"):
            self.files[add["path"]] = TableFile(
                key=unquote(add["path"]),
                partition=dict(add.get("partitionValues") or {}),
                size_bytes=add["size"],
                stats=add.get("stats"),
                deleted_rows=bool(add.get("deletionVector")),
            )
        elif remove := action.get("remove"):
            self.files.pop(remove["path"], None)
        elif metadata := action.get("metaData"):
            self.metadata = dict(metadata) | {"configuration": dict(metadata.get("configuration") or {})}
        elif protocol := action.get("protocol"):
            self.protocol = dict(protocol)
        elif txn := action.get("txn"):
            self.transactions[txn["appId"]] = txn["version"]


def entry_key(version: int) -> str:
    return f"{LOG}{version:020}.json"


def is_table(store: Store) -> bool:
    """Whether a log lies there."""
    return any(map(is_log_name, log_names(store)))


def is_log_name(name: str) -> bool:
    return bool(_ENTRY.fullmatch(name) or _CHECKPOINT.fullmatch(name))


def log_names(store: Store) -> list[str]:
    return [info.key.removeprefix(LOG) for info in store.list(LOG)]


def read_snapshot(store: Store, *, version: int | None = None) -> Snapshot | None:
    """The table as of a version, by default the newest; None where there is no table.

    One listing of the log, then the last checkpoint before the version and each entry after it.

    Raises:
        TableRefused: there is no such version, or entries are missing or none.
    """
    names = log_names(store)
    entries = {int(found[1]) for name in names if (found := _ENTRY.fullmatch(name))}
    checkpoints = whole_checkpoints(names)
    known = entries | checkpoints.keys()
    if not known:
        return None
    wanted = max(known) if version is None else version
    if wanted not in known:
        raise TableRefused(store.url, f"it has no version {wanted}: they are {min(known)} to {max(known)}")
    base = max((number for number in checkpoints if number <= wanted), default=-1)
    if lacking := sorted(set(range(base + 1, wanted + 1)) - entries):
        reason = f"version {wanted} cannot be put together: entry {lacking[0]} of its log is gone"
        raise TableRefused(store.url, reason, advice=f"Versions from {max(known)} on may still be there.")
    snapshot = Snapshot(version=wanted)
    for name in checkpoints.get(base, ()):
        for action in read_checkpoint(store, LOG + name):
            snapshot.apply(action)
    snapshot.moved = max(base, 0)
    for number in range(base + 1, wanted + 1):
        actions = list(read_entry(store, entry_key(number)))
        for action in actions:
            snapshot.apply(action)
        note_move(snapshot, number, actions)
    # A checkpoint does not say what made its version.
    number = base
    while not snapshot.info and number in entries:
        note_move(snapshot, number, list(read_entry(store, entry_key(number))))
        number -= 1
    return snapshot


def note_move(snapshot: Snapshot, version: int, actions: Iterable[Mapping[str, Any]]) -> None:
    """Note that a version moved readers, if it did: by its files, or because we say so of a version of ours."""
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})
    files = (action.get("add") or action.get("remove") for action in actions)
    if info.get("engineInfo") == OURS or any(file and file.get("dataChange", True) for file in files):
        snapshot.moved, snapshot.info = version, info or {"operation": "WRITE"}


def whole_checkpoints(names: Iterable[str]) -> dict[int, list[str]]:
    """Version -> the files of its checkpoint, where all of them are there."""
    whole: dict[int, list[str]] = {}
    pieces: dict[tuple[int, int], list[str]] = {}
    for name in sorted(names):
        found = _CHECKPOINT.fullmatch(name)
        if found and found[2] is None:
            whole[int(found[1])] = [name]
        elif found:
            pieces.setdefault((int(found[1]), int(found[3])), []).append(name)
    for (version, count), gathered in pieces.items():
        if len(gathered) == count:
            whole.setdefault(version, gathered)
    return whole


def read_entry(store: Store, key: str) -> Iterator[dict[str, Any]]:
    try:
        for line in store.read(key).splitlines():
            if line.strip():
                action = json.loads(line)
                if not isinstance(action, dict):
                    raise TypeError
                yield action
    except (ValueError, TypeError):
        raise TableRefused(store.url, f"{key} is no entry of a Delta log") from None


def read_checkpoint(store: Store, key: str) -> Iterator[dict[str, Any]]:
    """The actions of a checkpoint; maps come as mappings."""
    try:
        file = pq.ParquetFile(pa.BufferReader(store.read(key)))
        columns = [name for name in ("protocol", "metaData", "txn", "add") if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                yield {kind: content for kind, content in row.items() if content is not None}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise TableRefused(store.url, f"{key} is no checkpoint that is understood ({error})") from None


def check_readable(snapshot: Snapshot, url: str) -> None:
    """Refuse what reading the files as they lie there would read wrongly.

    Raises:
        TableRefused: deletion vectors, column mapping, or something newer; named.
    """
    asked = set(snapshot.protocol.get("readerFeatures") or ())
    if unknown := sorted(asked - _READER_FEATURES):
        raise TableRefused(url, f"it asks readers for {unknown[0]}, which Tandem does not read", advice=REWRITE)
    if snapshot.protocol.get("minReaderVersion", 1) > 3:
        raise TableRefused(url, f"it asks for reader version {snapshot.protocol['minReaderVersion']}", advice=REWRITE)
    if snapshot.configuration.get("delta.columnMapping.mode", "none") != "none":
        raise TableRefused(
            url, "its columns are mapped to other names in its files (delta.columnMapping.mode)", advice=REWRITE
        )
    if marked := next((file.key for file in snapshot.files.values() if file.deleted_rows), None):
        raise TableRefused(
            url,
            f"rows of {marked} are deleted by a deletion vector, which Tandem does not read",
            advice="Write the deletions into the files (REORG TABLE ... APPLY (PURGE), or OPTIMIZE).",
        )
    if strange := next(
        (file.key for file in snapshot.files.values() if "://" in file.key or file.key[:1] == "/"), None
    ):
        raise TableRefused(url, f"its file {strange} lies elsewhere, as in a shallow clone", advice=REWRITE)


REWRITE = "Write it again as a plain Delta table, or as Parquet, and name that."


def check_writable(snapshot: Snapshot, url: str) -> None:
    """Refuse to commit to a table that asks writers for what Tandem does not do.

    Raises:
        TableRefused: names it.
    """
    asked = snapshot.protocol.get("writerFeatures")
    unknown = sorted(set(asked or ()) - _WRITER_FEATURES)
    if asked is None and snapshot.protocol.get("minWriterVersion", 2) > 2:
        unknown = [f"writer version {snapshot.protocol['minWriterVersion']}"]
    if unknown:
        raise TableRefused(url, f"it asks writers for {unknown[0]}, which Tandem does not write", advice=ELSEWHERE)
    if snapshot.configuration.get("delta.appendOnly") == "true":
        raise TableRefused(url, "it is append-only (delta.appendOnly), and a job's version replaces the one before it")


ELSEWHERE = "Name another --output."


def entry_body(actions: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(action, separators=(",", ":")).encode() + b"\n" for action in actions)
