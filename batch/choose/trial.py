"""Trial: a few of a job's own rows, and the reference that they go through before the job's first part."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.bounds import check_comparison, share_memory
from batch.choose.draw import Drawn, draw_rows
from batch.choose.settle import options_of
from batch.columns import OWN_ROW, OWN_SOURCE, JobColumns
from batch.errors import ReferenceMissing
from batch.shard import Plan
from batch.spec import JobSpec
from batch.stores.storage import Store
from batch.supervise.guardian import GUARDED
from batch.uris import uri_reader
from models.errors import MissingExtra, RuntimeUnavailable
from models.footprint import bound_micro_batches
from models.load import Described, load_model
from models.model import Model, Values
from models.window import Watched

#: How many rows are drawn.
ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Rows of a job, and the model's reference.

    Attributes:
        reference: on the CPU, with the job's options.
        drawn: None where no row passes the filter.
        seconds: that taking it took.
    """

    reference: Model
    drawn: Drawn | None
    seconds: float = 0.0

    @property
    def values(self) -> Values:
        """The rows; samples that come along where the job has none."""
        from models.samples import default_samples

        return default_samples(self.reference) if self.drawn is None else self.drawn.rows.column(0)

    @property
    def names(self) -> list[str] | None:
        """Where each row lies, for an error's text."""
        if self.drawn is None:
            return None
        rows = self.drawn.rows
        places = zip(rows.column(OWN_SOURCE).to_pylist(), rows.column(OWN_ROW).to_pylist(), strict=True)
        return [f"{source} row {row}" for source, row in places]


def take_trial(
    job: JobSpec,
    described: Described,
    source: Store,
    plans: Sequence[Plan],
    columns: JobColumns,
    *,
    samples_only: bool = False,
) -> Trial:
    """Draw the rows and load the reference.

    Where a process of this command died with such rows in hand, one of them may be why: none is drawn, and the samples
    that come along stand for them. The reference is loaded first: a process that dies of that had no row in hand.

    Args:
        job: with its runtime resolved.
        described: its model, which has a reference.
        source: the input's store.
        plans: what the job reads.
        columns: what it encodes, and its filter.
        samples_only: draw none in any case: no row of the job is to meet a model in this process.

    Raises:
        ReferenceMissing: the reference cannot be run here.
        UsageError: it does not fit into the job's `--memory`.
    """
    started = time.perf_counter()
    reference, drawn = load_reference(job, described), None
    if not (samples_only or may_hurt()):
        with rows_in_hand(job):
            drawn = draw_rows(source, plans, columns, rows=ROWS)
    return Trial(reference=reference, drawn=drawn, seconds=time.perf_counter() - started)


def may_hurt() -> bool:
    """Whether the rows that would be drawn may have ended a process of this command."""
    return GUARDED.before is not None and GUARDED.before.is_sample


@contextmanager
def rows_in_hand(job: JobSpec) -> Iterator[Watched]:
    """Around whatever is done with the rows: of what ends this process meanwhile, one of them may be the reason.

    Yields:
        What is to be around each call that they are in: a guardian sees one that does not come back.
    """
    journal = GUARDED.watch_sample(job)

    def watched(rows: NDArray[np.int64], expected_s: float) -> AbstractContextManager[None]:
        return nullcontext() if journal is None else journal.call("forward", rows, expected_s)

    yield watched
    if journal is not None:
        journal.disarm()


def reference_of(described: Described) -> str | None:
    """What a model's variants are compared with; None where it has nothing of that kind, as an operator's own class."""
    if described.own is not None:
        return None
    return next((name for name, variant in described.variants.items() if variant.reference), None)


def load_reference(job: JobSpec, described: Described) -> Model:
    """The reference, on the CPU, with the job's options.

    Raises:
        ReferenceMissing: it cannot be run here.
        UsageError: it does not fit into the job's `--memory`.
    """
    reference = described.variants[str(reference_of(described))]
    folder = reference.folder or described.folder
    weights = sum(file.stat().st_size for file in folder.glob("model.onnx*")) if folder is not None else 0
    check_comparison(job.memory, weights_bytes=weights)
    try:
        model = load_model(
            described,
            variant=reference,
            device="cpu",
            options=options_of(job),
            threads=job.threads,
            fetch=uri_reader(job),
        )
    except (RuntimeUnavailable, MissingExtra, ModuleNotFoundError) as error:
        name = f"{job.runtime}-{job.precision}"
        raise ReferenceMissing(name, reference=reference.name, reason=str(error).rstrip(".")) from None
    if (most_bytes := share_memory(job.memory).arithmetic_bytes) is not None:
        bound_micro_batches(model, most_bytes)
    return model
