"""Merge: what the footers of parts say, added up; older parts, which say less, count as far as they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from batch.account.footer import Account
from batch.account.histogram import SCORE_CLASSES
from batch.account.manifest import Counts, Example, Work

#: Examples of error rows that a manifest names, of each class and of all.
OF_CLASS, OF_ALL = 3, 60


def merge_counts(accounts: Iterable[Account]) -> Counts:
    """Labels, scores, lengths and examples of errors over all parts."""
    labels: Counter[str] = Counter()
    lengths: Counter[str] = Counter()
    scores = [0] * SCORE_CLASSES
    examples: list[Example] = []
    named: Counter[str] = Counter()
    for account in accounts:
        labels.update(account.get("labels", {}))
        lengths.update(account.get("lengths", {}))
        scores = [sum(both) for both in zip(scores, account.get("scores") or [0] * SCORE_CLASSES, strict=True)]
        for example in account.get("examples", []):
            if named[example["class"]] < OF_CLASS and len(examples) < OF_ALL:
                named[example["class"]] += 1
                examples.append(example)
    return {
        "labels": dict(sorted(labels.items())),
        "scores": scores if any(scores) else [],
        "lengths": dict(sorted(lengths.items(), key=lambda pair: int(pair[0]))),
        "examples": examples,
    }


def merge_work(accounts: Iterable[Account]) -> Work:
    """What all parts took, whichever run wrote them."""
    told = [account for account in accounts if "work" in account]
    work = [account["work"] for account in told]
    spent: Counter[str] = Counter()
    for one in work:
        spent.update(one["spent_s"])
    padded, real = sum(one["padded"] for one in work), sum(one["real"] for one in work)
    return {
        "parts": len(work),
        "attempts": len({account.get("attempt") for account in told}),
        "began": min((one["began"] for one in work), default=None),
        "ended": max((one["ended"] for one in work), default=None),
        "spent_s": {step: round(seconds, 3) for step, seconds in spent.items()},
        "micro_batches": sum(one["micro_batches"] for one in work),
        "pieces": sum(one["pieces"] for one in work),
        "padded": padded,
        "real": real,
        "repeated": sum(one["repeated"] for one in work),
        "padding_share": round(1 - real / padded, 4) if padded else None,
    }
