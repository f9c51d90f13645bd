"""Memory: what a job will hold at its peak."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from batch.bounds import LOADED_BYTES, LOADED_TIMES, Bounds
from batch.estimate.extrapolate import Interval
from batch.estimate.row_costs import EncodedSample, largest_call, streams_of
from batch.predict import noted, size_bytes
from batch.read import USUAL_ROWS
from batch.sizes import parse_size
from batch.spec import JobSpec
from batch.supervise.journal import Journal
from models.errors import DeviceFailed
from models.footprint import held_bytes
from models.model import Model

#: A row group that is gathered is held about so many times while it is written.
WRITTEN_TIMES = 3
#: What is found here, as a share, may be off by so much: of eleven jobs the peak was 0.7 to 1.6 times what was
#: expected, as runtimes and malloc keep what they do not need any more.
SPREAD = 0.5
#: What trying the largest micro-batch may take.
TRIED_S = 1.5
#: The process that leads others holds no model.
LEADER_BYTES = 120 << 20


def try_largest(model: Model, samples: Sequence[EncodedSample], journal: Journal | None = None) -> int:
    """Send the largest micro-batch that a job would make through every stream at once; how many bytes the peak grew by.

    A runtime keeps the memory of its largest call. Where the call would take longer than TRIED_S, none is made.

    Raises:
        DeviceFailed: nothing can be answered here any more.
    """
    before = held_bytes("VmHWM")
    calls = [
        (sample.encoded, *largest_call(model, sample.encoded)) for sample in samples if len(sample.encoded.lengths)
    ]
    if not calls:
        return 0
    encoded, pieces, _, seconds = max(calls, key=lambda call: call[2])
    if seconds > TRIED_S:
        return 0

    def answer() -> None:
        with noted(journal, "forward", encoded.piece_rows[pieces], seconds):
            model.forward(model.collate(encoded, pieces))

    with ThreadPoolExecutor(streams_of(model)) as streams:
        try:
            for future in [streams.submit(answer) for _ in range(streams_of(model))]:
                future.result()
        except DeviceFailed:
            raise
        except Exception:  # a bad row is a run's affair
            pass
    return max(held_bytes("VmHWM") - before, 0)


def reference_bytes(folder: Path | None, grown: int) -> int:
    """What the reference takes beside the model while the two are compared: itself, and about as much for its calls."""
    weights = sum(file.stat().st_size for file in folder.glob("model.onnx*")) if folder is not None else 0
    return int(LOADED_TIMES * weights) + LOADED_BYTES + grown


def estimate_memory(job: JobSpec, bounds: Bounds, samples: Sequence[EncodedSample], *, besides: int = 0) -> Interval:
    """What all processes of a job hold at their peak: the model with its rows on their way.

    To be asked in a process that has loaded the model and answered rows: what that held is the larger part of it.

    Args:
        job: which may be bounded.
        bounds: of its steps.
        samples: rows of it.
        besides: bytes that it holds for a while, and this process did not.
    """
    held = held_bytes("VmHWM") + besides
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
