"""The variants of a model: a runtime at a precision, each with a digest of its own.

The **reference** is the model's own folder: its fp32 ONNX. Torch takes the folder's own weights, at any precision.
Every other variant is a folder `variants/<runtime>-<precision>/` that is an artifact itself, made by `tandem model
optimize`: the graph, what encoding needs, and variant.json, which holds a digest over these files, the digest of the
model that it was made of, and what was measured against the reference. Adding one never changes the model's digest.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.artifact import VARIANTS, compute_digest, hash_file
from models.errors import DigestMismatch, SpecInvalid
from models.spec import ModelSpec

log = logging.getLogger("tandem")

VARIANT_FILE, COSTS_FILE = "variant.json", "costs.json"
#: Measured costs lie beside the graph and are refined; they change no answer.
NOT_OURS = frozenset({VARIANT_FILE, COSTS_FILE})
REFERENCE = "onnx-fp32"
#: What a lower precision may cost on average, where nobody says more: in cosine, changed labels, or scores.
LOSS = 0.01
RUNTIMES = ("onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
#: What torch makes of the artifact's own weights.
TORCH_PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A runtime at a precision.

    Attributes:
        name: `<runtime>-<precision>`, as answers show it.
        folder: where its own files lie; None where it is the model's.
        digest: of its files, or of the model and its name.
        tolerance: the largest difference from the reference that it was registered with; None where none is recorded.
        measured: how it answered beside the reference, and how fast, when it was made.
        reference: it is what the others are compared with.
    """

    name: str
    runtime: str
    precision: str
    folder: Path | None
    digest: str
    tolerance: float | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    reference: bool = False

    @property
    def largest(self) -> float | None:
        """The largest difference of an answer from the reference's; None where it was not measured."""
        if self.reference:
            return 0.0
        found = self.measured.get("largest")
        return None if found is None else float(found)

    @property
    def speedup(self) -> float:
        """Rows/s, in those of the reference, on the machine where it was made; 0 where it was not measured."""
        if self.reference:
            return 1.0
        mine, reference = self.measured.get("rows_per_s"), self.measured.get("reference_rows_per_s")
        return float(mine) / float(reference) if mine and reference else 0.0


def variant_name(runtime: str, precision: str) -> str:
    return f"{runtime}-{precision}"


def list_variants(folder: Path, spec: ModelSpec, digest: str) -> dict[str, Variant]:
    """Every variant of a model: the reference, torch at each of its precisions, and those with a folder.

    No file but variant.json is hashed here; see `verify_variant`. A folder that was made of other files than the model
    has now is no variant of it; one whose record is damaged is passed over with a warning, since the model itself is
    sound: who names it is told what is wrong (`find_damage`).
    """
    found = {}
    if (folder / "model.onnx").is_file():
        found[REFERENCE] = own_variant("onnx", "fp32", digest, reference=True)
    if spec.architecture != "onnx":
        found |= {f"torch-{precision}": own_variant("torch", precision, digest) for precision in TORCH_PRECISIONS}
    for path in sorted((folder / VARIANTS).glob(f"*/{VARIANT_FILE}")):
        if path.parent.name.startswith("."):
            continue
        try:
            content = read_record(path)
            if content["model"] == digest:
                verify_record(path, content)
                variant = make_variant(path, content)
                found[variant.name] = variant
        except (SpecInvalid, DigestMismatch) as error:
            log.warning("variant passed over: %s", error)
    return found


def find_damage(folder: Path, name: str) -> str | None:
    """What is wrong with the variant of that name, where one lies there and `list_variants` does not give it.

    Raises:
        SpecInvalid, DigestMismatch: its record is damaged.
    """
    path = folder / VARIANTS / name / VARIANT_FILE
    if not path.is_file():
        return None
    content = read_record(path)
    verify_record(path, content)
    return f"variants/{name} was made of another revision of the model ({content['model'][:12]}): make it again"


def own_variant(runtime: str, precision: str, digest: str, *, reference: bool = False) -> Variant:
    """A variant that has no files but the model's."""
    name = variant_name(runtime, precision)
    return Variant(
        name=name,
        runtime=runtime,
        precision=precision,
        folder=None,
        digest=name_digest(digest, name),
        reference=reference,
    )


def make_variant(path: Path, content: Mapping[str, Any]) -> Variant:
    return Variant(
        name=variant_name(content["runtime"], content["precision"]),
        runtime=content["runtime"],
        precision=content["precision"],
        folder=path.parent,
        digest=content["digest"],
        tolerance=content["tolerance"],
        measured=content["measured"],
    )


def read_record(path: Path) -> dict[str, Any]:
    """The content of a variant.json.

    Raises:
        SpecInvalid: it is none; the message names what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for key, kind in (("runtime", str), ("precision", str), ("digest", str), ("record", str), ("model", str),
                          ("files", dict), ("measured", dict), ("tolerance", float | int)):  # fmt: skip
            if not isinstance(content[key], kind):
                raise TypeError(f"{key} is {content[key]!r}")
        for key, known in (("runtime", RUNTIMES), ("precision", PRECISIONS)):
            if content[key] not in known:
                raise ValueError(f"{key}: expected one of {', '.join(known)}, found {content[key]!r}")
        if path.parent.name != variant_name(content["runtime"], content["precision"]):
            raise ValueError(f"it is of {variant_name(content['runtime'], content['precision'])}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecInvalid(
            str(path),
            f"is not the record of a variant ({error})",
            remedy="Remove its folder, and make it again with: tandem model optimize.",
        ) from None
    record: dict[str, Any] = content
    return record


def hash_record(content: Mapping[str, Any]) -> str:
    """The sha256 of what variant.json holds but for its own `record`: the tolerance and what was measured, too."""
    rest = {name: value for name, value in content.items() if name != "record"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def verify_record(path: Path, content: Mapping[str, Any]) -> None:
    """See that a variant.json is as it was written.

    Raises:
        DigestMismatch: it was changed since.
    """
    if (found := hash_record(content)) != content["record"]:
        raise DigestMismatch(
            str(path.parent),
            file=VARIANT_FILE,
            expected=content["record"],
            found=found,
            remedy="Make the variant again with: tandem model optimize.",
        )


def variant_files(folder: Path) -> Iterator[Path]:
    """Every file that a variant's digest covers, in the order of its path."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in NOT_OURS:
            yield path


def hash_variant(folder: Path) -> tuple[dict[str, str], str]:
    """The sha256 of each file, and the digest over all and the variant's name: one graph runs at several precisions."""
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in variant_files(folder)}
    return files, name_digest(compute_digest(files), folder.name)


def name_digest(digest: str, name: str) -> str:
    return hashlib.sha256(f"{digest}:{name}".encode()).hexdigest()


def verify_variant(variant: Variant) -> None:
    """Hash every file of a variant's folder and compare with what was recorded.

    Raises:
        DigestMismatch: one was changed, added or removed since; the message names it.
        SpecInvalid: its variant.json is none.
    """
    if variant.folder is None:
        return
    recorded = read_record(variant.folder / VARIANT_FILE)
    verify_record(variant.folder / VARIANT_FILE, recorded)
    files, digest = hash_variant(variant.folder)
    expected: dict[str, str] = recorded["files"]
    for name in sorted(expected.keys() | files.keys()):
        if expected.get(name) != files.get(name):
            raise DigestMismatch(
                str(variant.folder),
                file=name,
                expected=expected.get(name, "(not there)"),
                found=files.get(name, "(gone)"),
                remedy="Make the variant again with: tandem model optimize.",
            )
    if digest not in {recorded["digest"]} & {variant.digest}:
        raise DigestMismatch(
            str(variant.folder),
            file=VARIANT_FILE,
            expected=variant.digest,
            found=digest,
            remedy="Make the variant again with: tandem model optimize.",
        )
