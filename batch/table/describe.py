"""Describe: what readers of a table see, in the lines that a run and `tandem status` end with."""

from __future__ import annotations

from batch.commit import JOB
from batch.stores.storage import open_store
from batch.table.delta_log import read_snapshot
from batch.table.place import JOB_OF_TABLE, list_folders


def table_lines(output: str, **where: str | None) -> list[str]:
    """The version that readers see, whose it is, and the table's other jobs; nothing where the output is no table."""
    root = open_store(output, **where)
    if root.head(JOB) is not None or not (folders := list_folders(root)):
        return []
    snapshot = read_snapshot(root)
    current = snapshot.configuration.get(JOB_OF_TABLE, "") if snapshot else ""
    seen = f"version {snapshot.version}, {current.rstrip('/')}" if snapshot else "nothing yet"
    others = [folder.rstrip("/") for folder in folders if folder != current]
    lines = [f"table     readers see {seen}"]
    if others:
        lines.append(f"          besides: {', '.join(others)}; tandem status {root.url_of(others[0])}/, tandem promote")
    return lines
