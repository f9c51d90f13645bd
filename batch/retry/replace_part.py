"""Replace: a part by one with answers where it had errors, if it is still the one that was read."""

from __future__ import annotations

from dataclasses import replace

from batch.commit import next_key
from batch.errors import InputChanged, StoreUnavailable
from batch.retry.again import Again, part_there
from batch.retry.merge_part import merge_part
from batch.scratch import open_scratch
from batch.stores.storage import Store
from batch.write import Part

#: How often the part is looked at again, where other runs replaced it between our reading and our writing.
LOOKS = 20


def replace_part(store: Store, again: Again, part: Part, *, attempt: str) -> Part:
    """Put the answers of rows that were run again into their part, by one PUT on the condition of its ETag.

    Where another retry was quicker, the part is read again, and what that one has settled stays as it settled it. This
    is the only place where anything of a finished part is written. A table's part is not: the new one is put beside it,
    on the condition that no other retry did, and readers move to it with the table's next version.

    Args:
        store: the output's.
        again: which rows were run again.
        part: their answers; its key is the part's.
        attempt: this run.

    Returns:
        `part`, committed where at least one of its answers counts.

    Raises:
        StoreUnavailable: not known to be written, or the part is gone.
    """
    with open_scratch() as path:
        for _ in range(LOOKS):
            info = part_there(store, part.key, beside=again.beside)
            try:
                merged = merge_part(store, info, again, part.path, path)
            except InputChanged:
                continue
            if not merged.applied:
                return part
            account = merged.account
            counts = {"rows": account["rows"], "errors": sum(account["errors"].values()), "retries": account["retries"]}
            metadata = {name: str(count) for name, count in counts.items()}
            if again.beside:
                done = store.put_if_absent(next_key(info.key), path, attempt=attempt, metadata=metadata)
            else:
                done = store.put_if_match(part.key, path, etag=info.etag, attempt=attempt, metadata=metadata)
            if done:
                return replace(part, committed=True)
        raise StoreUnavailable("replace", store.url_of(part.key), "other runs replaced it again and again")
