"""Source: a Delta table as input, at one of its versions: the files that its log names, and no removed one."""

from __future__ import annotations

from collections.abc import Mapping

from batch.errors import InputNotFound, TableRefused, UsageError
from batch.shard import partition_of, partition_values
from batch.stores.storage import Listing, ObjectInfo, Sources, Store, list_all, named_objects
from batch.table.delta_log import LOG, Snapshot, TableFile, check_readable, is_log_name, is_table, read_snapshot


def list_input_objects(
    url: str, *, where: Mapping[str, str | None], version: int | None = None, beside: str = ""
) -> Sources:
    """The objects that an input means: of a Delta table those of a version, else as `list_sources` says.

    Args:
        url: a folder, a prefix, an object or a glob.
        where: the settings of the store's client.
        version: of the table; None is the newest.
        beside: an output's url; what lies below it is no input, be it a table or not.

    Raises:
        InputNotFound: nothing is there, or a file of the table is gone.
        TableRefused: the table is one that reading its files would read wrongly.
        UsageError: a version of what is no table; a table among other objects.
    """
    listing = list_all(url, **where)
    store = listing.store
    if listing.pattern is not None and is_table(store):
        raise UsageError(
            f"--input {url}: {store.url} is a Delta table, and a glob would read files that were removed from it. "
            "Name the table itself."
        )
    tables = [] if listing.is_object else find_tables(listing, beside=beside)
    if "" in tables:
        return Sources(store=store, objects=table_objects(listing, version=version))
    if tables:
        raise UsageError(
            f"--input {url}: {store.url_of(tables[0])} is a Delta table, of which files that were removed would be "
            "read. Name that table itself, or a folder without one."
        )
    if version is not None:
        raise UsageError(f"--input-version {version}: {url} is no Delta table: it has no _delta_log/ below it.")
    return named_objects(listing, beside=beside)


def find_tables(listing: Listing, *, beside: str) -> list[str]:
    """The folders, relative to the listing, that hold a Delta log; none of those below `beside`."""
    found = set()
    for info in listing.objects:
        folder, log, name = f"/{info.key}".rpartition(f"/{LOG}")
        if log and is_log_name(name):
            found.add(f"{folder[1:]}/" if folder else "")
    root = listing.store.url
    return sorted(folder for folder in found if not (beside and (root + folder).startswith(beside)))


def table_objects(listing: Listing, *, version: int | None) -> list[ObjectInfo]:
    """The files of a version as the listing has them, sorted by key."""
    store = listing.store
    snapshot = read_snapshot(store, version=version)
    if snapshot is None:
        raise TableRefused(store.url, "its log has no entry")
    check_readable(snapshot, store.url)
    listed = {info.key: info for info in listing.objects}
    found = [listed.get(file.key) or find_late(store, file, snapshot) for file in snapshot.files.values()]
    check_folders(store, snapshot)
    if not found:
        raise InputNotFound(listing.url, f"version {snapshot.version} of the Delta table has no file")
    return sorted(found, key=lambda info: info.key)


def find_late(store: Store, file: TableFile, snapshot: Snapshot) -> ObjectInfo:
    """A file that was written while the listing was under way.

    Raises:
        InputNotFound: it is not there.
    """
    head = store.head(file.key)
    if head is None:
        reason = f"version {snapshot.version} of the Delta table names it, and it was removed (VACUUM does that)"
        raise InputNotFound(store.url_of(file.key), reason, advice="Name a later version with --input-version.")
    return ObjectInfo(key=file.key, size_bytes=head.size_bytes, etag=head.etag)


def check_folders(store: Store, snapshot: Snapshot) -> None:
    """See that each file lies in the folders of its partition, from which its values are read.

    Raises:
        TableRefused: one does not.
    """
    for file in snapshot.files.values():
        in_log = {name: value or None for name, value in file.partition.items()}
        in_folder = {name: value or None for name, value in partition_values(partition_of(file.key)).items()}
        if in_log != in_folder:
            raise TableRefused(
                store.url,
                f"its file {file.key} belongs to the partition {in_log or 'of none'}, which its folders do not say",
                advice="Write the table again with a folder for each value of a partition, or without partitions.",
            )
