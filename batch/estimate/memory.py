"""Memory: what a job will hold at its peak."""

from __future__ import annotations

from collections.abc import Sequence

from batch.bounds import Bounds
from batch.estimate.extrapolate import Interval
from batch.estimate.row_costs import EncodedSample
from batch.predict import size_bytes
from batch.read import USUAL_ROWS
from batch.sizes import parse_size
from batch.spec import JobSpec
from models.footprint import held_bytes

#: A row group that is gathered is held about so many times while it is written.
WRITTEN_TIMES = 3
#: What is found here, as a share, may be off by so much: malloc keeps what it cannot give back.
SPREAD = 0.25
#: The process that leads others holds no model.
LEADER_BYTES = 120 << 20


def estimate_memory(job: JobSpec, bounds: Bounds, samples: Sequence[EncodedSample]) -> Interval:
    """What all processes of a job hold at their peak: the model with its rows on their way.

    To be asked in a process that has loaded the model and answered rows: what that held is the larger part of it.
    """
    held = held_bytes("VmHWM")
    rows = sum(sample.encoded.rows for sample in samples)
    row_bytes = max((sample.row_bytes for sample in samples), default=0.0)
    array_bytes = sum(size_bytes(sample.encoded) for sample in samples) / max(rows, 1)
    window_bytes = min(row_bytes * min(job.window_rows, USUAL_ROWS), bounds.window_bytes)
    flight = min(bounds.flight_windows * window_bytes, bounds.flight_bytes)
    arrays = (bounds.depth + 1) * min(
        array_bytes * USUAL_ROWS, max(bounds.encoded_bytes, bounds.encoded_rows * array_bytes)
    )
    value = held + flight + arrays + WRITTEN_TIMES * bounds.group_bytes
    if job.workers != 1:
        value = LEADER_BYTES + value * (job.workers if isinstance(job.workers, int) else 1)
    most = parse_size(job.memory) if job.memory is not None else float("inf")
    return Interval(value=min(value, most), low=min(value / (1 + SPREAD), most), high=min(value * (1 + SPREAD), most))
