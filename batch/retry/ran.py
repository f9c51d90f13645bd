"""Ran: the run that finished a job, kept aside while a retry has the manifest away, which may die in between."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from batch.commit import RAN, covered, put_newest
from batch.errors import InputNotFound
from batch.stores.storage import Store

#: What a manifest says of those who made it, rather than of what lies there.
ACCOUNTS = ("run", "retried")


def keep_ran(store: Store, manifest: Mapping[str, Any], *, attempt: str) -> dict[str, Any]:
    """Keep a finished job's `run`, and its `retried` if it has one; to be done before its manifest is taken away.

    Returns:
        What is kept.
    """
    plans, retries = covered(manifest)
    kept = {name: manifest[name] for name in ACCOUNTS if name in manifest}
    body = json.dumps({"plans": plans, "retries": retries} | kept, indent=1, sort_keys=True).encode()
    put_newest(store, RAN, body, attempt=attempt)
    return kept


def read_ran(store: Store, *, plans: int) -> dict[str, Any] | None:
    """What is kept of a job whose manifest a retry took away; None where none did since its input grew last."""
    with contextlib.suppress(InputNotFound, ValueError, KeyError, TypeError, RecursionError):
        body = store.read(RAN)
        kept = json.loads(body)
        if covered(body)[0] == plans and isinstance(kept["run"], dict):
            return {name: kept[name] for name in ACCOUNTS if name in kept}
    return None
