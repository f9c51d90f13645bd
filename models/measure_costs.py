"""Measure what a model's micro-batches take on this host, shape by shape, and keep it for the next time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from models.costs import Costs, fit_prior
from models.host import recall, remember
from models.model import Encoded, Feature, Model
from models.ragged import Ragged
from models.samples import default_samples
from models.variants import COSTS_FILE

ROWS = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
#: Shapes above so many padded tokens, or images, are not tried: everything that is known has its best below.
MOST_PADDED, MOST_IMAGES = 8192, 64
#: A shape is timed this often; the middle one counts.
CALLS = 3


def measure_costs(model: Model, *, seconds: float = 3.0) -> Costs:
    """Time a grid of shapes and fit the formula to them; shapes that no longer fit into `seconds` are left out.

    As many calls of a shape are on their way at once as the model has streams, as in a job.

    Raises:
        ModelError: the model cannot answer its own sample.
    """
    encoded = model.encode(default_samples(model))
    rows, lengths, took = [], [], []
    ends = time.perf_counter() + seconds
    with ThreadPoolExecutor(max(model.streams, 1), thread_name_prefix="stream") as streams:
        for shape in shapes_to_try(model, encoded):
            call_s = time_shape(model, make_pieces(encoded, *shape), streams)
            rows.append(shape[0])
            lengths.append(shape[1])
            took.append(call_s)
            if time.perf_counter() > ends and len(took) >= 4:
                break
    measured = np.asarray(rows, np.float64), np.asarray(lengths, np.float64), np.asarray(took, np.float64)
    costs = Costs(fit_prior(*measured), flops=model.costs.flops)
    for shape_rows, length, call_s in zip(*measured, strict=True):
        for _ in range(CALLS):
            costs.observe(int(shape_rows), int(length), float(call_s))
    return costs


def time_shape(model: Model, pieces: Encoded, streams: ThreadPoolExecutor) -> float:
    """Seconds of one call among as many as there are streams; the first call of a shape is not counted."""

    def call(_: int) -> float:
        started = time.perf_counter()
        model.forward(model.collate(pieces, np.arange(pieces.rows)))
        return time.perf_counter() - started

    call(0)
    return float(np.median(list(streams.map(call, range(CALLS * max(model.streams, 1))))))


def shapes_to_try(model: Model, encoded: Encoded) -> Iterator[tuple[int, int]]:
    """(rows, length), the cheapest first."""
    one_length = int(encoded.lengths.max()) == 1
    longest = min(int(encoded.lengths.max()), model.spec.max_length or max(LENGTHS))
    lengths = [1] if one_length else [length for length in LENGTHS if length < longest] + [longest]
    most = MOST_IMAGES if one_length else MOST_PADDED
    shapes = [(rows, length) for rows in ROWS for length in lengths if rows * length <= most and rows <= model.max_rows]
    yield from sorted(shapes, key=lambda shape: shape[0] * shape[1])


def make_pieces(encoded: Encoded, rows: int, length: int) -> Encoded:
    """So many equal pieces of that length, cut out of the longest piece there is."""
    longest = int(encoded.lengths.argmax())
    features: dict[str, Feature] = {}
    for name, arrays in encoded.features.items():
        piece = np.asarray(arrays[longest])
        if int(encoded.lengths.max()) > 1 and len(piece) == encoded.lengths[longest]:
            piece = piece[:length]
        features[name] = Ragged.join([piece] * rows) if piece.ndim and length > 1 else np.stack([piece] * rows)
    return Encoded(
        rows=rows,
        features=features,
        piece_rows=np.arange(rows),
        lengths=np.full(rows, length, np.int64),
        truncated=np.zeros(rows, np.bool_),
    )


def load_costs(folder: Path | None, key: str) -> Costs:
    """What is known of a variant: what was measured on this host, else the prior in the variant's folder, else nothing.

    Args:
        folder: the variant's, with costs.json; None where it has none.
        key: of the measurements; see `costs_key`.
    """
    shipped = read_costs(folder)
    found = recall("costs", key)
    if found is None:
        return shipped
    with contextlib.suppress(ValueError, KeyError, TypeError):
        costs = Costs.from_json(found)
        costs.flops = costs.flops or shipped.flops
        return costs
    return shipped


def read_costs(folder: Path | None) -> Costs:
    """The prior that came along; of measurements elsewhere only the formula counts. A damaged file is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if folder is not None:
            content = json.loads((folder / COSTS_FILE).read_text(encoding="utf-8"))
            return Costs(Costs.from_json(content).prior, flops=content.get("flops"))
    return Costs()


def write_costs(folder: Path, costs: Costs) -> None:
    """Ship what was measured as a prior."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / COSTS_FILE
    path.write_text(json.dumps(costs.to_json()) + "\n", encoding="utf-8")
    path.chmod(0o644)


def costs_key(variant_digest: str, *, device: str, threads: int, streams: int) -> str:
    """What measurements depend on besides the host."""
    return f"{variant_digest[:16]}-{device}-{threads}x{streams}"


def keep_costs(model: Model) -> None:
    """Keep what a job or a lane has learnt, where the model was loaded under a key."""
    if model.costs_key and model.costs.calls:
        remember("costs", model.costs_key, model.costs.to_json())
