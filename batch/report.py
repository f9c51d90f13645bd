"""Report: what a finished job says of itself, read from its parts alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from batch.account.footer import Account, check_account
from batch.account.manifest import Manifest as Manifest
from batch.account.manifest import PartFacts, Quality
from batch.account.merge import merge_counts, merge_work
from batch.choose.gate import read_parity
from batch.commit import JobRecord, list_parts, look_again, not_ours
from batch.parquet_source import read_footer
from batch.shard import Plan
from batch.stores.storage import ObjectInfo, Store
from batch.write import FOOTER_KEY


def build_manifest(store: Store, record: JobRecord, plans: Sequence[Plan], run: Mapping[str, Any]) -> Manifest | None:
    """Gather the manifest from the parts' footers; None where a planned shard has no part yet.

    Its `digest` covers shard ids, row counts and error rows: an interrupted and an uninterrupted run agree on it.

    Args:
        store: the output's.
        record: the job's.
        plans: every agreed plan.
        run: of the run that finished the job: when, how long, where the time went.
    """
    shards = {shard.id for plan in plans for shard in plan.shards}

    def look() -> Manifest | None:
        parts = list_parts(store, record.fingerprint, list(plans))
        return describe_parts(store, record, plans, parts, run) if len(parts) == len(shards) else None

    return look_again(look, url=store.url)


def describe_parts(
    store: Store, record: JobRecord, plans: Sequence[Plan], parts: Mapping[str, ObjectInfo], run: Mapping[str, Any]
) -> Manifest:
    """What the footers of these parts say, be they all that are planned or not; shard id -> part.

    Raises:
        InputChanged: a part was replaced since it was listed.
    """
    accounts = read_accounts(store, parts)
    errors: Counter[str] = Counter()
    confusion: Counter[tuple[str, str]] = Counter()
    for account in accounts.values():
        errors.update(account["errors"])
        for expected, found, rows in account["confusion"]:
            confusion[expected, found] += rows
    identity = sorted([shard, account["rows"], sum(account["errors"].values())] for shard, account in accounts.items())
    counts = merge_counts(accounts.values())
    manifest: Manifest = {
        "tandem": 1,
        "fingerprint": record.fingerprint,
        "model": cast(Any, dict(record.model)),
        "settings": cast(Any, dict(record.settings)),
        "plans": len(plans),
        "shards": len(parts),
        "input_objects": sum(len(plan.objects) for plan in plans),
        "input_rows": sum(plan.rows for plan in plans),
        "rows": sum(account["rows"] for account in accounts.values()),
        "error_rows": sum(errors.values()),
        "errors": dict(sorted(errors.items())),
        "truncated": sum(account["truncated"] for account in accounts.values()),
        "retries": sum(account.get("retries", 0) for account in accounts.values()),
        "quality": measure_quality(confusion) if confusion else None,
        "parity": read_parity(store, record),
        "digest": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        "labels": counts["labels"],
        "scores": counts["scores"],
        "lengths": counts["lengths"],
        "examples": counts["examples"],
        "work": merge_work(accounts.values()),
        "parts": [describe_part(parts[shard], shard, account) for shard, account in accounts.items()],
        "run": cast(Any, dict(run)),
    }
    return manifest


def read_accounts(store: Store, parts: Mapping[str, ObjectInfo]) -> dict[str, Account]:
    """What the footers of many parts say of them, by shard; sixteen at once.

    Raises:
        InputChanged: a part was replaced since it was listed.
    """
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        return dict(zip(parts, pool.map(lambda info: read_account(store, info), parts.values()), strict=True))


def read_account(store: Store, info: ObjectInfo) -> Account:
    """What a part's footer says of it."""
    try:
        return check_account(read_footer(store, info).metadata[FOOTER_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise not_ours(store, info.key, "part") from None


def describe_part(info: ObjectInfo, shard: str, account: Account) -> PartFacts:
    """A part's line in the manifest."""
    facts: PartFacts = {
        "key": info.key,
        "shard": shard,
        "size_bytes": info.size_bytes,
        "rows": account["rows"],
        "error_rows": sum(account["errors"].values()),
        "truncated": account["truncated"],
    }
    if "work" in account:
        facts |= {"began": account["work"]["began"], "ended": account["work"]["ended"]}
    return facts


def measure_quality(confusion: Mapping[tuple[str, str], int]) -> Quality:
    """Accuracy, per-class precision, recall and F1, and the confusion matrix.

    A figure whose denominator is 0 is 0, as in scikit-learn with `zero_division=0`; a job needs none of that library.

    Args:
        confusion: (true label, predicted label) -> rows; error rows and rows without a label are not in it.

    Returns:
        `labels` name the rows (true) and columns (predicted) of `confusion`.
    """
    labels = sorted({label for pair in confusion for label in pair})
    table = [[confusion.get((expected, found), 0) for found in labels] for expected in labels]
    of_label = [sum(row) for row in table]
    as_label = [sum(column) for column in zip(*table, strict=True)]
    right = [table[i][i] for i in range(len(labels))]
    rows = sum(of_label)
    return {
        "rows": rows,
        "accuracy": _share(sum(right), rows),
        "labels": labels,
        "classes": {
            label: {
                "precision": _share(right[i], as_label[i]),
                "recall": _share(right[i], of_label[i]),
                "f1": _share(2 * right[i], of_label[i] + as_label[i]),
                "rows": of_label[i],
            }
            for i, label in enumerate(labels)
        },
        "confusion": table,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("tandem-inference", "numpy", "pyarrow", "onnxruntime", "openvino", "tokenizers", "torch", "boto3"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
