"""Which variant of a model runs: the one that was named, or the fastest that answers closely enough."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from models.errors import MissingExtra, ModelError, RuntimeUnavailable, VariantMissing, VariantTooFar
from models.host import recall
from models.variants import PRECISIONS, REFERENCE, RUNTIMES, Variant, find_damage, variant_name

if TYPE_CHECKING:
    from models.load import Described

#: The largest difference from the reference that is taken: None is the spec's, `int8` is any that is registered.
Tolerance = float | Literal["int8"] | None

#: How many times as fast as the reference a variant must have been for auto to take it: two measurements of one
#: variant differ by as much on a busy machine.
CLEARLY = 1.05
#: Runtime -> the packages without which it does not start, and the extra that brings them.
NEEDS = {"torch": (("torch", "transformers"), "torch"), "openvino": (("openvino",), "openvino")}


def choose_variant(
    described: Described,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    tolerance: Tolerance = None,
) -> Variant:
    """The variant that a caller's settings stand for; nothing is loaded.

    `auto` is the fastest variant that is registered, whose package is installed, which runs on the device, and whose
    answers differ from the reference's by no more than the tolerance. A precision that is named is taken with its own
    tolerance, unless the caller gives a number.

    Args:
        described: the model.
        runtime: `onnx`, `openvino`, `torch` or `auto`.
        precision: `fp32`, `bf16`, `fp16`, `int8` or `auto`.
        device: `cpu`, `cuda`, `tensorrt` or `auto`.
        tolerance: see Tolerance.

    Raises:
        VariantMissing: the model has no variant of that runtime and precision.
        VariantTooFar: it has, but its answers differ by more than the tolerance.
        RuntimeUnavailable, MissingExtra: this host cannot run it.
    """
    if described.own is not None:
        return described.variants[described.own.variant]
    for setting, value, choices in (("runtime", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        if value not in ("auto", *choices):
            raise RuntimeUnavailable(value, why=f"there is no {setting} of that name", available=choices)
    named = [
        variant
        for variant in described.variants.values()
        if runtime in ("auto", variant.runtime) and precision in ("auto", variant.precision)
    ]
    if not named:
        raise missing(described, runtime, precision)
    limit = None if tolerance == "int8" else described.spec.tolerance if tolerance is None else tolerance
    opted_in = tolerance is None and precision not in ("auto", "fp32")
    by_name = precision != "auto"  # then what was not measured counts too
    near = [
        variant
        for variant in named
        if opted_in or (is_near(variant, limit) if limit is not None else by_name or is_registered(variant))
    ]
    if not near:
        raise VariantTooFar(described.tag, name=named[0].name, largest=named[0].largest, tolerance=limit or 0.0)
    return fastest_that_runs(described, near, device)


def find_variant(described: Described, runtime: str, precision: str) -> Variant:
    """The variant of that runtime and precision, both of them named.

    Raises:
        VariantMissing, RuntimeUnavailable: the model has none.
    """
    variant = described.variants.get(variant_name(runtime, precision))
    if variant is None:
        raise missing(described, runtime, precision)
    return variant


def is_near(variant: Variant, limit: float) -> bool:
    """Whether a variant's answers are within a limit of the reference's, as far as that was measured.

    Torch in fp32 is what the reference was exported from, and was checked against when the model was added.
    """
    if variant.name == "torch-fp32":
        return True
    return variant.largest is not None and variant.largest <= limit


def device_of(described: Described, variant: Variant, device: str) -> str:
    """Where a variant runs on this host if it may: `cpu`, `cuda` or `tensorrt`; nothing is loaded.

    Raises:
        RuntimeUnavailable: it does not run on the device that was named.
    """
    if described.own is not None:
        return "cpu" if device == "auto" else device
    if device == "cpu" or variant.runtime == "openvino":
        return "cpu"
    if variant.runtime == "torch":
        from models.runtimes import eager

        return eager.choose_device(device)
    from models.runtimes import onnx_runtime

    return onnx_runtime.choose_device(device, onnx_runtime.installed_providers())


def is_registered(variant: Variant) -> bool:
    """Whether somebody looked at a variant's answers: torch makes lower precisions of any weights, unmeasured."""
    return variant.folder is not None or variant.precision == "fp32"


def check_tolerance(described: Described, variant: Variant, tolerance: Tolerance) -> None:
    """Whether a variant that was settled before is one that a caller's number lets in.

    Raises:
        VariantTooFar: it is not.
    """
    if isinstance(tolerance, float) and not is_near(variant, tolerance):
        raise VariantTooFar(described.tag, name=variant.name, largest=variant.largest, tolerance=tolerance)


def fastest_that_runs(described: Described, variants: Iterable[Variant], device: str) -> Variant:
    """The fastest of several that this host can run; the reference before others of the same speed.

    Raises:
        RuntimeUnavailable, MissingExtra: where none can be run, why not the fastest of those that run on such a device.
    """
    problems: list[tuple[bool, ModelError]] = []
    for variant in sorted(variants, key=lambda one: (-worth(one), RUNTIMES.index(one.runtime), one.name)):
        try:
            check_variant(described, variant, device)
        except (RuntimeUnavailable, MissingExtra) as error:
            problems.append((variant.runtime == "openvino" and device not in ("auto", "cpu"), error))
        else:
            return variant
    raise min(problems, key=lambda problem: problem[0])[1]


def worth(variant: Variant) -> float:
    """What a variant's speed is worth: the reference is left for one that was clearly faster, not for a near tie."""
    speed = speed_here(variant)
    return speed if speed >= CLEARLY or variant.reference else min(speed, 1.0 / CLEARLY)


def speed_here(variant: Variant) -> float:
    """Rows/s in those of the reference: as it was measured on this host, else where the variant was made."""
    found = None if variant.reference else recall("speed", variant.digest)
    return float(found) if isinstance(found, int | float) else variant.speedup


def check_variant(described: Described, variant: Variant, device: str = "auto") -> None:
    """Whether this host can run a variant on a device, found without loading anything.

    Raises:
        RuntimeUnavailable, MissingExtra: it cannot.
    """
    if described.own is not None:
        return
    packages, extra = NEEDS.get(variant.runtime, ((), ""))
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(f"--runtime {variant.runtime}", package=package, extra=extra)
    if variant.runtime == "openvino":
        from models.runtimes import open_vino

        open_vino.check_precision(variant.precision, openvino_abilities(variant.precision))
    if device in ("auto", "cpu"):
        return
    if variant.runtime == "torch":
        if device != "cuda":
            raise RuntimeUnavailable("torch", why=f"--device {device} is of onnx only", available=["--device cuda"])
        from models.runtimes import eager

        eager.choose_device(device)
    elif variant.runtime == "onnx":
        from models.runtimes import onnx_runtime

        onnx_runtime.choose_device(device, onnx_runtime.installed_providers())
    else:
        raise RuntimeUnavailable(variant.runtime, why="it runs on the CPU only here", available=["--device cpu"])


def openvino_abilities(precision: str) -> list[str]:
    """What OpenVINO computes in on this processor; it is only asked, and imported, for what not every one has."""
    if precision != "bf16":
        return []
    from models.runtimes import open_vino

    return open_vino.abilities()


def missing(described: Described, runtime: str, precision: str) -> ModelError:
    """Why a model has no such variant, and what makes one."""
    if runtime == "torch" and described.spec.architecture == "onnx":
        return RuntimeUnavailable("torch", why=f"{described.spec.name} is an ONNX file only", available=["onnx"])
    if runtime in ("auto", "onnx") and precision in ("auto", "fp32"):
        return RuntimeUnavailable("onnx", why=f"{described.folder} has no model.onnx", available=["torch"])
    have = [name for name, variant in described.variants.items() if variant.folder is not None or name == REFERENCE]
    wanted = [variant_name(runtime, "fp32" if precision == "auto" else precision)] if runtime != "auto" else []
    if described.folder is not None:
        for name in wanted:
            if (why := find_damage(described.folder, name)) is not None:
                have.append(f"not {name}: {why}")
    return VariantMissing(described.tag, name=described.name, runtime=runtime, precision=precision, have=have)
