"""Footprint: what a micro-batch needs in memory, tried, so that none is planned that would not fit."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from models.model import Model
from models.samples import default_samples

#: A try ends after so many seconds or pieces: what a padded unit costs is then known well enough.
TRIED_S, TRIED_PIECES = 1.0, 16


def bound_micro_batches(model: Model, most_bytes: int) -> None:
    """Set `model.max_padded` so that the arithmetic of a micro-batch needs no more than `most_bytes`, as far as tried.

    Goes by the longest of some samples, in micro-batches of 1, 2, 4, ... pieces, until half of `most_bytes` is used: a
    second of work. Attention over texts needs more by the square of their length, so the longest is the dearest.
    Where a model cannot be tried, or the kernel does not say what was used, nothing is bounded.
    """
    try:
        rate = try_arithmetic(model, most_bytes)
    except Exception:  # whatever is wrong with the samples; rows of the job are judged one by one
        return
    if rate > 0:
        fitting = max(1, int(most_bytes / rate / max(model.streams, 1)))
        model.max_padded = min(fitting, model.max_padded or fitting)


def try_arithmetic(model: Model, most_bytes: int) -> float:
    """Bytes that a micro-batch needs for each padded unit; 0 where that does not show."""
    encoded = model.encode(pa.array(default_samples(model)))
    before = reset_peak()
    if before is None or not len(encoded.lengths):
        return 0.0
    longest = int(np.argmax(encoded.lengths))
    started = time.perf_counter()
    rows, rate = 1, 0.0
    while rows <= min(TRIED_PIECES, model.max_rows):
        micro_batch = model.collate(encoded, np.full(rows, longest))
        model.forward(micro_batch)
        used = held_bytes("VmHWM") - before
        rate = used / micro_batch.padded
        if used > most_bytes / 2 or time.perf_counter() - started > TRIED_S:
            break
        rows *= 2
    return rate


def reset_peak() -> int | None:
    """Have the kernel count this process's peak anew; what it holds now, or None where that cannot be asked."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return None
    return held_bytes()


def held_bytes(field: str = "VmRSS") -> int:
    """What this process holds in memory now, or as `VmHWM` the most that it held."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) * 1024
