"""ModelSpec: what a model promises, read from the tandem.yaml in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import SpecInvalid
from models.plain_yaml import NotPlain, read_plain

Family = Literal["transformer", "cnn", "rnn"]
Task = Literal[
    "text-embedding",
    "text-classification",
    "text-multi-label-classification",
    "image-classification",
    "sequence-classification",
]
FAMILIES: tuple[str, ...] = get_args(Family)
TASKS: tuple[str, ...] = get_args(Task)
SPEC_FILE = "tandem.yaml"
#: Pixels of an image's edge, where nothing says.
EDGE = 224
#: Of a tandem.yaml; ImageNet's 21,841 labels take half of one.
MOST_BYTES = 2 << 20

#: Which tasks a family answers.
FAMILY_TASKS: Mapping[str, tuple[str, ...]] = {
    "transformer": (
        "text-embedding",
        "text-classification",
        "text-multi-label-classification",
        "image-classification",
    ),
    "cnn": ("image-classification",),
    "rnn": ("sequence-classification", "text-classification"),
}


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt setting must not be silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputColumn(Strict):
    """One input column: the name that the model asks for, and what it takes there."""

    name: str
    kind: Literal["text", "image", "sequence"]


#: Pixels of an image's edge; rows of larger ones would fill the memory, whatever a spec says.
Edge = Annotated[int, Field(ge=1, le=8192)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Preprocess(Strict):
    """How an image becomes numbers, in the order in which it is done."""

    mode: Literal["RGB", "L"] = "RGB"
    resize: tuple[Edge, Edge] | Edge | None = Field(None, description="(height, width), or the shortest edge")
    resample: int = Field(2, ge=0, le=5, description="Pillow's filter number: 2 bilinear, 3 bicubic")
    crop: tuple[Edge, Edge] | None = Field(None, description="centre crop, (height, width)")
    crop_pct: float | None = Field(
        None, ge=0.1, le=1, description="resize to size / crop_pct first, as ConvNeXT's processor does"
    )
    rescale: Finite | None = Field(1 / 255, description="factor; None leaves 0..255")
    mean: tuple[Finite, ...] | None = None
    std: tuple[Finite, ...] | None = None


class Accuracy(Strict):
    """The accuracy that the training script printed, and on what."""

    value: float
    rows: int
    data: str


class ModelSpec(Strict):
    """What a model promises. `tandem` is the version of this file's format."""

    tandem: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    family: Family
    task: Task
    inputs: tuple[InputColumn, ...] = Field(min_length=1, max_length=1)
    labels: tuple[str, ...] = ()
    dimension: int | None = Field(None, ge=1, le=1 << 20, description="length of an embedding")
    tolerance: float = Field(
        1e-4, gt=0, allow_inf_nan=False, description="largest difference of an answer between runtimes and batch-mates"
    )
    architecture: Literal["hugging-face", "recurrent", "efficientnet-lite0", "onnx"] = "onnx"
    max_length: int | None = Field(None, description="tokens, special ones included, or steps", gt=0, le=1 << 24)
    pooling: Literal["mean", "cls", "max", "none"] = Field(
        "none", description="of an ONNX file that returns token vectors"
    )
    normalize: bool = Field(False, description="L2-normalise embeddings that the graph leaves as they are")
    threshold: float = Field(0.5, description="a label of several counts from this probability on")
    preprocess: Preprocess | None = None
    accuracy: Accuracy | None = None
    source: str = Field("", description="where the weights came from")

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if self.task not in FAMILY_TASKS[self.family]:
            raise ValueError(
                f"task {self.task!r} is not one of the family {self.family!r}: {FAMILY_TASKS[self.family]}"
            )
        if "classification" in self.task:
            if len(self.labels) < 2:
                raise ValueError(f"task {self.task!r} needs at least two labels, found {len(self.labels)}")
            if len(set(self.labels)) != len(self.labels):
                twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
                raise ValueError(f"labels must differ; found twice: {', '.join(twice[:5])}")
        elif not self.dimension:
            raise ValueError("an embedding needs its dimension")
        if self.task == "image-classification" and self.preprocess is None:
            raise ValueError("task 'image-classification' needs preprocess (mode, resize, mean, std)")
        return self

    @property
    def column(self) -> str:
        """The one input column's name."""
        return self.inputs[0].name

    @property
    def output_fields(self) -> tuple[pa.Field, ...]:
        """The prediction columns, then `truncated` and `error`, which every task has."""
        if self.task == "text-embedding":
            columns = [pa.field("embedding", pa.list_(pa.float32(), self.dimension))]
        elif self.task == "text-multi-label-classification":
            columns = [
                pa.field("labels", pa.list_(pa.string())),
                pa.field("scores", pa.map_(pa.string(), pa.float32())),
            ]
        else:
            columns = [
                pa.field("label", pa.string()),
                pa.field("score", pa.float32()),
                pa.field("scores", pa.map_(pa.string(), pa.float32())),
            ]
        return (*columns, pa.field("truncated", pa.bool_(), nullable=False), pa.field("error", ERROR_TYPE))


#: Null for a good row. `attempts` counts how often the row was tried.
ERROR_TYPE = pa.struct([("class", pa.string()), ("message", pa.string()), ("attempts", pa.int32())])


def read_spec(folder: Path) -> ModelSpec:
    """Read `tandem.yaml` of an artifact folder.

    Raises:
        SpecInvalid: the file is missing, is no YAML, or breaks a rule; the message names the key.
    """
    path = folder / SPEC_FILE
    try:
        data = read_plain(path, most_bytes=MOST_BYTES)
    except FileNotFoundError:
        raise SpecInvalid(
            str(folder),
            f"has no {SPEC_FILE}",
            remedy="A Hugging Face folder becomes a model with: tandem model add FOLDER --name NAME.",
        ) from None
    except NotPlain as error:
        raise SpecInvalid(str(path), f"is not YAML that a spec may be ({error})") from None
    except OSError as error:
        raise SpecInvalid(str(path), f"cannot be read ({error.strerror})") from None
    return parse_spec(data, where=str(path))


def parse_spec(data: Any, *, where: str) -> ModelSpec:
    """Check the content of a tandem.yaml; `where` opens the error's message."""
    if not isinstance(data, dict):
        raise SpecInvalid(where, f"expected a mapping of settings, found {type(data).__name__}")
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as error:
        raise SpecInvalid(where, first_problem(error)) from None


def first_problem(error: ValidationError, *, quoted: bool = True) -> str:
    """All problems of a validation in one line, each with its key and, unless that may be secret, what was found."""
    parts = []
    for item in error.errors(include_url=False)[:4]:
        key = ".".join(str(step) for step in item["loc"])
        found = (
            ""
            if not quoted or isinstance(item.get("input"), dict | list) or item["type"] == "missing"
            else f" (found {item['input']!r})"
        )
        parts.append(f"{key + ': ' if key else ''}{item['msg'].removeprefix('Value error, ')}{found}")
    return "; ".join(parts)


def write_spec(spec: ModelSpec, folder: Path) -> None:
    """Write `tandem.yaml`, leaving out what is at its default."""
    data = spec.model_dump(mode="json", exclude_defaults=True) | {"tandem": 1, "architecture": spec.architecture}
    path = folder / SPEC_FILE
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    path.chmod(0o644)
