"""Settle: which variant a job runs, once for its output; and the model of it, loaded with the job's options."""

from __future__ import annotations

import time

from batch.bounds import check_memory, share_memory
from batch.commit import JobRecord
from batch.errors import RuntimeMissing
from batch.lean import give_freed_back
from batch.spec import JobSpec
from batch.uris import uri_reader
from models.choose import check_tolerance, check_variant, choose_variant, find_variant
from models.errors import ModelError, RuntimeUnavailable
from models.footprint import bound_micro_batches, reset_peak
from models.host import recall, remember
from models.load import Described, load_model
from models.model import Model, Options
from models.variants import Variant

#: Seconds that loading a variant is taken to need, until it was loaded here once.
LOADING_S = 0.5


def resolve_variant(job: JobSpec, described: Described, before: JobRecord | None, *, anew: bool = False) -> JobSpec:
    """Settle `auto` once for the output: the variant that the first run chose, every later run takes.

    Args:
        job: the settings.
        described: its model.
        before: whose the output is, or was.
        anew: the output is cleared for this job. What it was begun with is still taken, so that what is still true
            there can stay, but only where it may be.

    Raises:
        VariantMissing, VariantTooFar: the model has none such that answers closely enough.
        RuntimeMissing: this host cannot run what the output was begun with.
        RuntimeUnavailable: this host cannot run what is asked for.
        MissingExtra: its package is not installed.
    """
    begun = begun_with(job, described, before)
    if not begun or (anew and not still_good(job, described, before, begun)):
        variant = choose_variant(
            described, runtime=job.runtime, precision=job.precision, device=job.device, tolerance=job.tolerance
        )
        return name_variant(job, described, variant)
    try:
        variant = find_variant(described, *begun.split("-"))
        check_variant(described, variant, job.device)
    except RuntimeUnavailable as error:
        raise RuntimeMissing(begun, str(error).rstrip("."), advice="Run it where that runtime is.") from None
    check_tolerance(described, variant, job.tolerance)
    return name_variant(job, described, variant)


def begun_with(job: JobSpec, described: Described, before: JobRecord | None) -> str:
    """The variant that an output of this model was begun with, where the job does not name another; else empty."""
    if before is None or before.model["digest"] != described.digest:
        return ""
    begun = str(before.model["variant"])
    runtime, _, precision = begun.partition("-")
    return begun if job.runtime in ("auto", runtime) and job.precision in ("auto", precision) else ""


def still_good(job: JobSpec, described: Described, before: JobRecord | None, name: str) -> bool:
    """Whether the variant that an output was begun with is here as it was, runs, and is near enough."""
    variant = described.variants.get(name)
    if variant is None or before is None or before.settings.get("variant") != variant.digest:
        return False
    try:
        check_variant(described, variant, job.device)
        check_tolerance(described, variant, job.tolerance)
    except ModelError:
        return False
    return True


def name_variant(job: JobSpec, described: Described, variant: Variant) -> JobSpec:
    """The job with its variant named; an operator's own class has one only, and no name for it."""
    if described.own is not None:
        return job
    return job.model_copy(update={"runtime": variant.runtime, "precision": variant.precision})


def variant_of(job: JobSpec, described: Described) -> Variant:
    """The variant that a resolved job names; an operator's own class has one only."""
    if described.own is not None:
        return described.variants[described.own.variant]
    return find_variant(described, job.runtime, job.precision)


def options_of(job: JobSpec) -> Options:
    """What the job chooses about the answers."""
    return Options(on_long=job.on_long, top_k=job.top_k)


def load_for(job: JobSpec, described: Described, *, streams: int | None = None) -> Model:
    """Load the job's model with the job's options; None leaves the streams to the runtime.

    Raises:
        ModelError: it does not load.
        UsageError: with it, the job does not fit into its `--memory`.
    """
    if job.memory is not None:
        reset_peak()  # what was before is not the job's
        give_freed_back()
    variant = variant_of(job, described)
    started = time.perf_counter()
    model = load_model(
        described,
        variant=variant,
        device=job.device,
        options=options_of(job),
        threads=job.threads,
        compiled=job.compile,
        streams=streams,
        fetch=uri_reader(job),
    )
    if described.own is None and job.device in ("auto", "cpu") and not job.compile:
        # The least counts: the disk was cold, or several loaded at once.
        took = time.perf_counter() - started
        remember("loading", variant.digest, round(min(took, loading_seconds(variant, unknown=took)), 3))
    check_memory(job.memory, workers=1 if job.workers == "auto" else job.workers)
    # Before the model's first call: memory that a runtime keeps for the next one shows only once.
    if (most_bytes := share_memory(job.memory).arithmetic_bytes) is not None:
        bound_micro_batches(model, most_bytes)
    return model


def loading_seconds(variant: Variant, *, unknown: float = LOADING_S) -> float:
    """The least that loading a variant has taken here."""
    found = recall("loading", variant.digest)
    return float(found) if isinstance(found, int | float) else unknown
