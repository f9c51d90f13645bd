"""Settle: which variant a job runs, once for its output; and the model of it, loaded with the job's options."""

from __future__ import annotations

import time

from batch.bounds import check_memory, share_memory
from batch.commit import JobRecord
from batch.errors import RuntimeMissing
from batch.spec import JobSpec
from batch.uris import UriReader
from models.choose import check_tolerance, check_variant, choose_variant, find_variant
from models.errors import RuntimeUnavailable
from models.footprint import bound_micro_batches, reset_peak
from models.host import recall, remember
from models.load import Described, load_model
from models.model import Model, Options
from models.variants import Variant

#: Seconds that loading a variant is taken to need, until it was loaded here once.
LOADING_S = 0.5


def resolve_variant(job: JobSpec, described: Described, owner: JobRecord | None) -> JobSpec:
    """Settle `auto` once for the output: the variant that the first run chose, every later run takes.

    Raises:
        VariantMissing, VariantTooFar: the model has none such that answers closely enough.
        RuntimeMissing: this host cannot run it.
        MissingExtra: its package is not installed.
    """
    begun = "" if owner is None or owner.model["digest"] != described.digest else str(owner.model["variant"])
    runtime, _, precision = begun.partition("-")
    try:
        if begun and job.runtime in ("auto", runtime) and job.precision in ("auto", precision):
            variant = find_variant(described, runtime, precision)
            check_variant(described, variant, job.device)
            check_tolerance(described, variant, job.tolerance)
        else:
            variant = choose_variant(
                described, runtime=job.runtime, precision=job.precision, device=job.device, tolerance=job.tolerance
            )
    except RuntimeUnavailable as error:
        name = begun or job.runtime
        raise RuntimeMissing(name, str(error).rstrip("."), advice="Run it where that runtime is.") from None
    return resolved(job, described, variant)


def resolved(job: JobSpec, described: Described, variant: Variant) -> JobSpec:
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
        fetch=UriReader(**job.where_from),
    )
    if described.own is None and not variant.reference:
        remember("loading", variant.digest, round(time.perf_counter() - started, 3))
    return bounded(job, model)


def bounded(job: JobSpec, model: Model) -> Model:
    """A model that was just loaded, with its micro-batches bounded as the job's `--memory` asks for.

    Raises:
        UsageError: with it, the job does not fit.
    """
    check_memory(job.memory, workers=1 if job.workers == "auto" else job.workers)
    # Before the model's first call: memory that a runtime keeps for the next one shows only once.
    if (most_bytes := share_memory(job.memory).arithmetic_bytes) is not None:
        bound_micro_batches(model, most_bytes)
    return model


def loading_seconds(variant: Variant) -> float:
    """What loading a variant took here the last time."""
    found = recall("loading", variant.digest)
    return float(found) if isinstance(found, int | float) else LOADING_S
