"""Make a variant of a model, measure it beside the reference, and register it where its answers are close enough."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.artifact import VARIANTS, model_files
from models.choose import find_variant
from models.errors import SpecInvalid, VariantRefused
from models.host import host_fingerprint, remember
from models.load import Described, describe_model, load_model
from models.measure_costs import keep_costs, measure_costs, write_costs
from models.parity.check import Bound
from models.quantize import make_graph
from models.side_by_side import SideBySide, measure_side_by_side
from models.spec import ModelSpec
from models.variants import (
    COSTS_FILE,
    LOSS,
    VARIANT_FILE,
    Variant,
    hash_record,
    hash_variant,
    make_variant,
    variant_name,
)

Step = Callable[[str], None]

#: Weights and graphs; a variant has its own.
NOT_ENCODING = frozenset({".safetensors", ".onnx", ".data", ".xml", ".bin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """A variant that was made and measured, and is registered."""

    variant: Variant
    measured: SideBySide
    tolerance: float


def optimize_model(
    name: str,
    *,
    runtime: str,
    precision: str,
    calibration: Sequence[Any],
    held_out: Sequence[Any],
    rows_from: str,
    tolerance: float | None = None,
    threads: int | None = None,
    on_step: Step = lambda step: None,
    on_measured: Callable[[SideBySide], None] = lambda measured: None,
) -> Optimized:
    """Make a variant, and register it in the model's folder where it answers as the reference does.

    The variant appears whole or not at all, and takes the place of one of the same runtime and precision. The model's
    own files and digest stay as they are.

    Args:
        name: of a model in the store, the zoo, or a local folder.
        runtime: `openvino` or `onnx`.
        precision: `fp32`, `bf16` or `int8`.
        calibration: rows that int8 finds its scales with.
        held_out: other rows, which it is measured with.
        rows_from: where they come from, for the record.
        tolerance: in fp32 the largest difference of an answer, by default the spec's; below it what the variant costs
            on average (`Agreement.loss`), by default LOSS.
        threads: of the arithmetic; None takes every core.
        on_step: is told what is being done, in a few words.
        on_measured: is told what was measured before it is judged.

    Raises:
        VariantRefused: outside the tolerance; nothing was registered.
        SpecInvalid: the folder cannot be written, or is no place for a variant; or there are no rows.
        ModelError: anything else that is wrong with the model.
    """
    described = describe_model(name)
    folder = writable_folder(name, described)
    reference = load_model(described, variant=find_variant(described, "onnx", "fp32"), threads=threads, device="cpu")
    encoded = reference.encode(list(calibration))
    if not len(encoded.piece_rows) or len(held_out) == len(reference.encode(list(held_out)).faults):
        raise SpecInvalid(rows_from, f"holds no rows that {described.tag} can answer, neither to calibrate nor to try")
    with making(folder, variant_name(runtime, precision)) as place:
        on_step(f"making {place.name}")
        made = make_graph(
            reference, folder / "model.onnx", place, runtime=runtime, precision=precision, encoded=encoded
        )
        copy_encoding(folder, place)
        record: dict[str, Any] = {
            "runtime": runtime,
            "precision": precision,
            "model": described.digest,
            "tolerance": bound_of(described.spec, precision, tolerance),
            "made": {**made, "rows_from": rows_from, "calibration_rows": len(calibration)},
            "measured": {},
        }
        variant = write_record(place, record)
        on_step(f"measuring it on {len(held_out)} other rows, beside {reference.variant}")
        candidate = load_model(described, variant=variant, threads=threads, device="cpu")
        for model in (reference, candidate):
            model.costs = measure_costs(model)  # or the one whose costs are known would be the faster
            keep_costs(model)
        measured = measure_side_by_side(reference, candidate, list(held_out))
        on_measured(measured)
        judge(described, variant, measured)
        host = {"host": host_fingerprint(), "streams": candidate.streams}
        write_costs(place, candidate.costs)
        if not (folder / VARIANTS / reference.variant / COSTS_FILE).is_file():
            write_costs(folder / VARIANTS / reference.variant, reference.costs)
        variant = write_record(place, {**record, "measured": {**measured.to_json(), **host}})
        registered = register(place, folder)
    variant = make_variant(registered / VARIANT_FILE, json.loads((registered / VARIANT_FILE).read_text()))
    remember("speed", variant.digest, variant.speedup)
    return Optimized(variant=variant, measured=measured, tolerance=record["tolerance"])


def bound_of(spec: ModelSpec, precision: str, tolerance: float | None) -> float:
    """The tolerance of a variant: the one that was asked for, else the spec's in fp32 and LOSS below it."""
    return tolerance if tolerance is not None else spec.tolerance if precision == "fp32" else LOSS


def judge(described: Described, variant: Variant, measured: SideBySide) -> None:
    """See that a variant's answers are close enough, whatever the batch-mates.

    Raises:
        VariantRefused: they are not.
    """
    assert variant.tolerance is not None
    if variant.precision == "fp32":
        found, measure = measured.agreement.largest, "largest difference"
        is_near = found <= variant.tolerance
    else:
        found, measure = measured.agreement.loss, "mean loss"
        is_near = found <= variant.tolerance
        bound = Bound(value=variant.tolerance, of="mean")
        # Few rows go through again among other batch-mates: these are judged as the gate judges them.
        for name, agreement in measured.compositions.items():
            if is_near and not bound.covers(agreement):
                is_near, found, measure = False, agreement.loss, f"mean loss, with its batch-mates {name},"
    if not is_near:
        raise VariantRefused(
            described.tag, variant=variant.name, measure=measure, found=found, tolerance=variant.tolerance
        )


def writable_folder(name: str, described: Described) -> Path:
    """The folder that a variant is registered in.

    Raises:
        SpecInvalid: the model has none, or it cannot be written.
    """
    if described.folder is None:
        raise SpecInvalid(name, "is a class of your own: it has no folder, and so no variants")
    if name.startswith("s3://"):
        raise SpecInvalid(
            name,
            "lies in an object store, where no variant is made",
            remedy="Optimize the model in the store or folder that it was pushed from, and push it again.",
        )
    return described.folder


@contextmanager
def making(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder in which a variant is made; nothing is left of it where that fails.

    Raises:
        SpecInvalid: the model's folder cannot be written.
    """
    try:
        (folder / VARIANTS).mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder / VARIANTS))
    except OSError as error:
        raise SpecInvalid(
            str(folder),
            f"cannot hold a variant ({error.strerror})",
            remedy="Copy the model to a folder that may be written, or add it to the store with: tandem model add.",
        ) from None
    try:
        (scratch / name).mkdir()
        yield scratch / name
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def copy_encoding(folder: Path, place: Path) -> None:
    """Copy what encoding and decoding need: everything but weights, graphs, and what other libraries alone read."""
    for path in model_files(folder):
        if path.suffix not in NOT_ENCODING:
            target = place / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def write_record(place: Path, record: dict[str, Any]) -> Variant:
    """Write variant.json over the files as they are now."""
    files, digest = hash_variant(place)
    content = {"tandem": 1, **record, "digest": digest, "files": files}
    content["record"] = hash_record(content)
    path = place / VARIANT_FILE
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for file in place.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    place.chmod(0o755)
    return make_variant(path, content)


def register(place: Path, folder: Path) -> Path:
    """Move a finished variant to its place, where another of its name goes away first."""
    target = folder / VARIANTS / place.name
    if target.exists():
        target.rename(place.parent / "before")
    place.rename(target)
    return target
