"""Gate: before a job's first part, a few of its own rows go through its variant and through the reference.

What comes of it lies in `_tandem/parity.json`, so that it is done once a job, however often it is resumed; a
host that computes otherwise than the first one compares for itself. Where samples stood in for the job's rows, the next
run compares the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batch.choose.trial import Trial, may_hurt, rows_in_hand
from batch.commit import PARITY, JobRecord
from batch.spec import JobSpec
from batch.stores.storage import Store
from models.host import host_fingerprint
from models.load import Described
from models.model import Model
from models.variants import LOSS

if TYPE_CHECKING:
    from models.parity.check import Bound

Account = dict[str, Any]

#: What stands in for a job's rows.
SAMPLES = "samples that come along"


def why_skipped(record: JobRecord, device: str) -> str | None:
    """Why a job's rows need not be compared where they run on this device; None where they must be."""
    reference = record.model.get("reference")
    if reference is None:
        return f"{record.model['tag']} has no reference to compare with"
    # On a GPU the reference's own graph is computed otherwise.
    return f"{reference} is the reference" if record.model["variant"] == reference and device == "cpu" else None


def must_compare(
    store: Store, record: JobRecord, *, device: str, anew: bool = False, samples_only: bool = False
) -> bool:
    """Whether the job's rows are still to be compared: nobody has, or on another host or device only, or samples were.

    Args:
        store: the output's.
        record: of the job.
        device: on which it runs here, never `auto`.
        anew: whatever was found there before.
        samples_only: see take_trial.
    """
    if why_skipped(record, device) is not None:
        return False
    content = read_content(store, record)
    if anew or content is None or content.get("place") != place_of(device):
        return True
    return not is_of_rows(content) and not (samples_only or may_hurt())


def read_parity(store: Store, record: JobRecord) -> Account | None:
    """What the first check of this job found, or why there is none; None where it is still to be made."""
    content = read_content(store, record)
    if content is not None:
        account: Account = content["parity"]
        return account
    why = why_skipped(record, "cpu")
    return None if why is None else {"skipped": why}


def read_content(store: Store, record: JobRecord) -> dict[str, Any] | None:
    """What `_tandem/parity.json` says of this job; None where it says nothing."""
    if record.model.get("reference") is None or store.head(PARITY) is None:
        return None
    try:
        content: dict[str, Any] = json.loads(store.read(PARITY))
        return content if content["fingerprint"] == record.fingerprint and isinstance(content["parity"], dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def is_of_rows(content: Mapping[str, Any]) -> bool:
    """Whether it is the job's own rows that were compared."""
    return bool(content["parity"].get("rows_of") != SAMPLES)


def place_of(device: str) -> str:
    """Where arithmetic is as it was there: a host of the same processor and packages, and a device of it."""
    return f"{host_fingerprint()}-{device}"


def record_parity(store: Store, record: JobRecord, account: Mapping[str, Any], *, device: str, attempt: str) -> None:
    """Put what was found; of two runs that checked, at the same time or on several hosts, the first counts.

    What was found over the job's own rows counts more than what was found over samples.
    """
    content = {"tandem": 1, "fingerprint": record.fingerprint, "place": place_of(device), "parity": dict(account)}
    body = json.dumps(content, indent=1, sort_keys=True).encode()
    if store.put_if_absent(PARITY, body, attempt=attempt) or not is_of_rows(content):
        return
    there, found = store.head(PARITY), read_content(store, record)
    if there is not None and found is not None and not is_of_rows(found):
        store.put_if_match(PARITY, body, etag=there.etag, attempt=attempt)


def check_rows(job: JobSpec, described: Described, variant: Model, trial: Trial) -> Account:
    """Compare the job's variant with its reference, on rows of the job.

    Costs the trial once through each of the two, and 12 of its rows three times more through the variant, and the
    memory of a second model while it lasts.

    Args:
        job: with its runtime resolved.
        described: its model.
        variant: the model as the job runs it.
        trial: rows, and the reference.

    Returns:
        What the manifest says of it.

    Raises:
        ParityBroken: they do not agree; names the step, what differs, and a row.
    """
    from models.parity.check import check_parity  # a job on the reference compares nothing, and starts without it

    started = time.perf_counter()
    bound = bound_of(job, described, variant.variant)
    with rows_in_hand(job) as watched:
        found = check_parity(trial.reference, variant, trial.values, bound=bound, names=trial.names, watched=watched)
    rows_of = SAMPLES if trial.drawn is None else "input"
    return found.to_json() | {"rows_of": rows_of, "seconds": round(trial.seconds + time.perf_counter() - started, 3)}


def bound_of(job: JobSpec, described: Described, name: str) -> Bound:
    """How far answers may be apart: by the job's number, the spec's for fp32, else what the variant is registered with.

    A lower precision is not held to its largest difference but to what it costs on average.
    """
    from models.parity.check import Bound

    if isinstance(job.tolerance, float):
        return Bound(value=job.tolerance)
    variant = described.variants[name]
    if variant.precision == "fp32":
        return Bound(value=described.spec.tolerance)
    return Bound(value=variant.tolerance or LOSS, of="mean")


def describe_parity(account: Mapping[str, Any]) -> dict[str, object]:
    """What a log line says of a comparison."""
    return {
        "variant": account["variant"],
        "reference": account["reference"],
        "rows": account["rows"],
        "largest": f"{account['agreement']['largest']:.3g}",
        "movement": f"{account['movement']:.3g}",
        "seconds": account["seconds"],
    }
