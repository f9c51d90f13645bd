"""What can be wrong with a model.

ModelError                  exit code 3
├── ModelNotFound           no such tag, folder or prefix
├── SpecInvalid             tandem.yaml is missing, or says something it may not
├── UnsupportedTask         a task or architecture that no family answers
├── ArtifactRefused         pickles, code, links that leave the folder
├── DigestMismatch          a file is not the one that was recorded
├── MissingExtra            the package that this needs is not installed
├── RuntimeUnavailable      this host cannot run that runtime or device
├── VariantMissing          the model has no variant of that runtime and precision
├── VariantTooFar           a variant's answers differ from the reference's by more than is allowed
├── VariantRefused          a variant was made, and is not registered, for it answers otherwise
├── ExportDisagrees         the ONNX export does not answer as the original does
├── ContractBroken          an operator's model breaks one of the contract's promises
├── ParityBroken            a variant does not answer as its reference does
├── ModelAccessDenied   77  the object store refuses to show or to take a model
├── ModelStoreUnavailable 75  the object store does not answer; the same command again
├── DeviceFailed        75  a GPU answers this process no more; another process may find it well
└── PredictionMismatch      the arithmetic returned another number of answers than rows
OutOfMemory                 a micro-batch did not fit; the caller may halve it
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from typing import Literal


class ModelError(Exception):
    """Something about the model, said in one line: what, where, expected, found, what to do."""

    exit_code = 3


class ModelNotFound(ModelError):
    """A name that leads to no model."""

    def __init__(self, name: str, *, looked_in: Sequence[str], known: Sequence[str] = ()) -> None:
        have = f" Known: {', '.join(known)}." if known else ""
        super().__init__(
            f"No model {name!r}: looked in {'; '.join(looked_in)}.{have} "
            "Add one with: tandem model add FOLDER --name NAME; or name a folder or s3:// prefix with a tandem.yaml."
        )
        self.name = name


class SpecInvalid(ModelError):
    """A tandem.yaml, or the folder's own configuration, that cannot be followed."""

    def __init__(self, where: str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"{where}: {problem}.{' ' + remedy if remedy else ''}")
        self.where, self.problem = where, problem


class UnsupportedTask(ModelError):
    """A task that no family answers, refused by its name."""

    def __init__(self, where: str, *, task: str, supported: Sequence[str]) -> None:
        super().__init__(f"{where}: the task {task!r} is not supported. Supported: {', '.join(supported)}.")
        self.where, self.task, self.supported = where, task, tuple(supported)


class ArtifactRefused(ModelError):
    """A folder that holds what may not be loaded."""

    def __init__(self, folder: str, *, file: str, why: str, remedy: str) -> None:
        super().__init__(f"{folder}: {file} is refused: {why}. {remedy}")
        self.folder, self.file, self.why = folder, file, why


class DigestMismatch(ModelError):
    """A file that is not the one recorded when the model was added, or the variant was made."""

    def __init__(
        self,
        folder: str,
        *,
        file: str,
        expected: str,
        found: str,
        remedy: str = "Fetch it again, or record it as a new model with: tandem model add.",
    ) -> None:
        super().__init__(
            f"{folder}: {file} has sha256 {found[:16]}, recorded was {expected[:16]}. The artifact was changed or "
            f"damaged. {remedy}"
        )
        self.folder, self.file, self.expected, self.found = folder, file, expected, found


class MissingExtra(ModelError):
    """A package that is not part of the base installation."""

    def __init__(self, what: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {package}, which is not installed. Install it, in the folder of Tandem's sources, with: "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        )
        self.package, self.extra = package, extra


class RuntimeUnavailable(ModelError):
    """A runtime, device or precision that this host or artifact does not have."""

    def __init__(self, runtime: str, *, why: str, available: Sequence[str] = ()) -> None:
        have = f" Available here: {', '.join(available)}." if available else ""
        super().__init__(f"The runtime {runtime!r} cannot be used: {why}.{have}")
        self.runtime = runtime


class VariantMissing(ModelError):
    """A runtime and precision that nobody made of the model yet."""

    def __init__(self, tag: str, *, name: str, runtime: str, precision: str, have: Sequence[str]) -> None:
        wanted = "-".join(part for part in (runtime, precision) if part != "auto")
        make = [f"--runtime {'openvino' if runtime == 'auto' else runtime}"]
        make += [f"--precision {'fp32' if precision == 'auto' else precision}"]
        super().__init__(
            f"{tag} has no variant {wanted}; it has {', '.join(have) or 'none'}. "
            f"Make it with: tandem model optimize {name} {' '.join(make)}"
        )
        self.tag, self.runtime, self.precision = tag, runtime, precision


class VariantTooFar(ModelError):
    """A variant that answers otherwise than the reference, by more than the caller takes."""

    def __init__(self, tag: str, *, name: str, largest: float | None, tolerance: float) -> None:
        found = "was not measured against the reference" if largest is None else f"differ by up to {largest:.3g}"
        precision = name.partition("-")[2]
        super().__init__(
            f"{tag}: the answers of its variant {name} {found}, the tolerance is {tolerance:.3g}. "
            f"Take it all the same by name, with --precision {precision}, or allow more with --tolerance."
        )
        self.tag, self.name, self.largest, self.tolerance = tag, name, largest, tolerance


class VariantRefused(ModelError):
    """A variant that was made and measured, and answers otherwise than the reference by more than it may."""

    def __init__(self, tag: str, *, variant: str, measure: str, found: float, tolerance: float) -> None:
        super().__init__(
            f"{tag}: the variant {variant} was not registered: its {measure} from the reference's answers is "
            f"{found:.3g}, the tolerance {tolerance:.3g}. Calibrate it with rows like yours (--calibration), or allow "
            "more with --tolerance."
        )
        self.tag, self.variant, self.found, self.tolerance = tag, variant, found, tolerance


class ExportDisagrees(ModelError):
    """The ONNX export answers otherwise than the original."""

    def __init__(self, name: str, *, case: str, output: str, difference: float, tolerance: float) -> None:
        super().__init__(
            f"{name}: the ONNX export differs from the original by {difference:.3g} in {output!r} on {case}, "
            f"more than the tolerance {tolerance:.3g}. The model was not added."
        )
        self.case, self.output, self.difference, self.tolerance = case, output, difference, tolerance


class ContractBroken(ModelError):
    """One promise of the Model contract that does not hold."""

    def __init__(self, name: str, *, promise: str, found: str) -> None:
        super().__init__(f"{name} breaks the contract: {promise}; found: {found.rstrip('.')}.")
        self.promise, self.found = promise, found


class ParityBroken(ModelError):
    """A variant that does not answer as its reference does, and the first thing in which the two differ.

    Args:
        name: the model.
        variant: the one that was chosen.
        reference: the one that is right.
        stage: `encoding`, `arithmetic`, `batch-mates` or `decoding`.
        cause: what it is in a word or two, such as `maximal length`.
        where: the row in which it shows; "" where none is needed to see it.
        what: both values.
        remedy: what to do.
    """

    def __init__(
        self, name: str, *, variant: str, reference: str, stage: str, cause: str, where: str, what: str, remedy: str
    ) -> None:
        place = f"{where}: " if where else ""
        super().__init__(
            f"{name}: {variant} does not answer as the reference {reference} does: {stage} ({cause}): {place}{what}. "
            f"{remedy}"
        )
        self.variant, self.reference, self.stage, self.cause = variant, reference, stage, cause
        self.where, self.what = where, what


class ModelAccessDenied(ModelError):
    """The object store refuses to show the model, or to take it."""

    exit_code = 77

    def __init__(self, url: str, *, why: str, action: Literal["fetch", "push"] = "fetch") -> None:
        done = "access to the model was refused" if action == "fetch" else "the model may not be pushed there"
        super().__init__(f"{url}: {done} ({why}). Check credentials and bucket policy.")
        self.url = url


class ModelStoreUnavailable(ModelError):
    """The object store does not answer; the same command may succeed later."""

    exit_code = 75

    def __init__(self, url: str, *, why: str, action: Literal["fetch", "push"] = "fetch") -> None:
        done = "the object store did not serve the model" if action == "fetch" else "the model could not be pushed"
        super().__init__(f"{url}: {done} ({why}). Run the same command again.")
        self.url = url


class DeviceFailed(ModelError):
    """A GPU, or its driver, failed in a call, and every later call of this process would fail too."""

    exit_code = 75

    def __init__(self, device: str, *, reason: str) -> None:
        super().__init__(f"the device {device} failed: {reason}. Nothing is lost; run the same command again.")
        self.device, self.reason = device, reason


class PredictionMismatch(ModelError):
    """The arithmetic returned another number of answers than it was given rows."""

    def __init__(self, name: str, *, given: int, got: int) -> None:
        super().__init__(
            f"{name} was given {given} rows and returned {got} answers; no answer can be told whose it is."
        )
        self.given, self.got = given, got


class OutOfMemory(Exception):
    """A micro-batch did not fit into memory; the caller may halve it."""


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody pressed Ctrl-C, rather than a model's own code raised: then no row is to blame.

    Python raises it in the main thread only, and where nobody else hears the signal.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
