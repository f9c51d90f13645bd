"""Bounds: what the steps of a job may hold, so that the process stays below a bound, or as suits any host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from batch.errors import UsageError
from batch.sizes import parse_size
from models.footprint import held_bytes

MIB = 1 << 20

#: Under a bound: what a job needs besides its model, at least. The rest is divided by these shares: rows on their way,
#: arrays on their way, what is fetched ahead, what is gathered for the writer (which holds it about three times), and
#: the arithmetic. What is left over is for what malloc cannot give back.
LEAST_BYTES = 96 * MIB
ROWS_SHARE, ARRAYS_SHARE, AHEAD_SHARE, GROUP_SHARE, ARITHMETIC_SHARE = 0.15, 0.2, 0.08, 0.05, 0.25
#: What ONNX Runtime takes, at its peak, to load a model beside another: times its files, and besides.
LOADED_TIMES, LOADED_BYTES = 2.0, 48 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the steps of a job may hold. The defaults need no more than some 300 MB besides the model.

    Attributes:
        window_bytes: of the rows of a window.
        encoded_bytes: of the arrays that a window becomes; a larger one is encoded in several,
        encoded_rows: of so many rows at least.
        flight_bytes: of all rows that are read and not yet written; a single window is always let in,
        flight_windows: of so many windows at most,
        small_bytes: of more as long as all are so many bytes at most: what a job over narrow rows holds.
        ahead_bytes: fetched and not yet read, while the reader need not wait,
        most_ahead_bytes: where it had to, as a distant store asks for.
        group_bytes: gathered to a row group and not yet written.
        page_bytes: unpacked pages of Parquet that took hardly anything in the file.
        read_rows: unpacked at once.
        depth: windows that wait for the arithmetic; one waits between any other two steps before writing.
        answered: windows that wait to be written, so that nobody stands still while a row group is,
        answered_bytes: whose answers are at most so many, as embeddings are wide; a single window is always let in.
        arithmetic_bytes: that a micro-batch may need; None: it is not bounded.
    """

    window_bytes: int = 16 * MIB
    encoded_bytes: int = 4 * MIB
    encoded_rows: int = 64
    flight_bytes: int = 96 * MIB
    flight_windows: int = 4
    small_bytes: int = 2 * MIB
    ahead_bytes: int = 2 * MIB
    most_ahead_bytes: int = 16 * MIB
    group_bytes: int = 4 * MIB
    page_bytes: int = 256 * MIB
    read_rows: int = 4096
    depth: int = 2
    answered: int = 16
    answered_bytes: int = 8 * MIB
    arithmetic_bytes: int | None = None


def check_memory(memory: str | None, *, workers: int = 1) -> None:
    """See, with the model loaded, whether the job can do with `memory`.

    Args:
        memory: the bound; None is none.
        workers: processes that hold it beside this one, each with a model of its own; 1 is this one.

    Raises:
        UsageError: too little is left to work with.
    """
    if memory is None:
        return
    held = held_bytes()
    needed = max(held + LEAST_BYTES, held_bytes("VmHWM"))
    if workers > 1:
        needed = held + workers * needed
    if parse_size(memory) < needed:
        raise UsageError(
            f"--memory {memory} is too little: with its model loaded the process holds {held / 1e6:.0f} MB, and needs "
            f"{(needed - held) / 1e6:.0f} MB more for its rows"
            f"{f' and {workers} workers' if workers > 1 else ''}; give it {needed / 1e6 + 10:.0f}MB or more."
        )


def check_comparison(memory: str | None, *, weights_bytes: int) -> None:
    """See whether a second model fits beside the job's, while the two are compared.

    Args:
        memory: the bound; None is none.
        weights_bytes: the second model's files.

    Raises:
        UsageError: it does not.
    """
    if memory is None:
        return
    held = held_bytes()
    needed = held + int(LOADED_TIMES * weights_bytes) + LOADED_BYTES + LEAST_BYTES // 2
    if parse_size(memory) < needed:
        raise UsageError(
            f"--memory {memory} is too little to compare the variant with its reference, which is done once, before "
            f"the first part: with the job's model the process holds {held / 1e6:.0f} MB, and the reference needs "
            f"{(needed - held) / 1e6:.0f} MB more; give it {needed / 1e6 + 10:.0f}MB or more, or take the reference "
            "itself with --runtime onnx --precision fp32."
        )


def tighten(bounds: Bounds) -> Bounds:
    """A quarter of what the steps may hold: for a shard over which a process passed its memory bound."""
    return replace(
        bounds,
        window_bytes=bounds.window_bytes // 4,
        encoded_bytes=bounds.encoded_bytes // 4,
        encoded_rows=1,
        flight_bytes=bounds.flight_bytes // 4,
        flight_windows=1,
        ahead_bytes=bounds.ahead_bytes // 4,
        most_ahead_bytes=bounds.ahead_bytes // 4,
        group_bytes=bounds.group_bytes // 4,
        read_rows=max(bounds.read_rows // 4, 1),
        depth=1,
        answered=1,
        answered_bytes=bounds.answered_bytes // 4,
    )


def share_memory(memory: str | None) -> Bounds:
    """Divide what a bound leaves over what the process, with its model, holds by now."""
    default = Bounds()
    if memory is None:
        return default
    left = max(parse_size(memory) - held_bytes(), LEAST_BYTES // 2)
    window_bytes = min(int(ROWS_SHARE * left / 6), default.window_bytes)
    return Bounds(
        window_bytes=window_bytes,
        encoded_bytes=int(ARRAYS_SHARE * left / 5),
        encoded_rows=1,
        flight_bytes=min(6 * window_bytes, default.flight_bytes),
        ahead_bytes=min(int(AHEAD_SHARE * left), default.ahead_bytes),
        most_ahead_bytes=min(int(AHEAD_SHARE * left), default.most_ahead_bytes),
        group_bytes=min(int(GROUP_SHARE * left), default.group_bytes),
        page_bytes=min(int(ROWS_SHARE * left), default.page_bytes),
        read_rows=1024,
        depth=1,
        answered=1,
        answered_bytes=int(ARRAYS_SHARE * left / 5),
        arithmetic_bytes=int(ARITHMETIC_SHARE * left),
    )
