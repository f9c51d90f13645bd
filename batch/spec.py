"""JobSpec: one job, from a YAML file or from flags; the same class checks both."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from batch.errors import UsageError
from batch.sizes import parse_size
from models.plain_yaml import NotPlain, read_plain


class JobSpec(BaseModel):
    """One job: which model, over which rows, to where.

    The settings above `runtime` change the answers and are part of the fingerprint; those below do not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, title="Tandem job")

    model: str = Field(
        min_length=1,
        description="Store tag, artifact folder, s3:// prefix, or package.module:Class.",
        examples=["bbc-bert", "s3://models/minilm"],
    )
    input: str = Field(
        min_length=1,
        description="Folder, s3:// prefix, single file or glob of Parquet.",
        examples=["s3://bucket/articles/"],
    )
    output: str = Field(min_length=1, description="Folder or s3:// prefix.", examples=["s3://bucket/predictions/"])
    column: dict[str, str] = Field(
        default_factory=dict, description="The model's input column = the source's column.", examples=[{"text": "body"}]
    )
    keep: list[str] | None = Field(
        None, description="Source columns to keep; by default all but the encoded one.", examples=[["id", "date"]]
    )
    where: str | None = Field(None, description="SQL condition on source columns.", examples=["lang = 'en'"])
    limit: int | None = Field(
        None, ge=1, le=1 << 53, description="At most so many rows, in input order, after the condition."
    )
    label: str | None = Field(None, description="Source column with the true label: accuracy goes to the manifest.")
    on_long: Literal["truncate", "error", "chunk"] = Field(
        "truncate", description="What happens to a text longer than the model takes."
    )
    top_k: int | None = Field(
        None, ge=1, le=1 << 20, description="Scores kept a row; by default all up to 20 labels, else 5."
    )
    shard_mb: float = Field(
        128,
        gt=0,
        le=4096,
        description="Compressed input of a shard, the unit that is retried, in MB; at least one row group.",
    )
    part_size: str = Field(
        "1GB",
        description="What a part may hold, by estimate: a shard whose part would hold more is cut smaller.",
        examples=["256MB"],
    )
    runtime: Literal["auto", "onnx", "openvino", "torch"] = Field(
        "auto",
        description="What does the arithmetic; auto: the fastest registered within the tolerance, its start included.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="What it is done in; one that is named is taken with its own tolerance."
    )
    tolerance: Annotated[float, Field(gt=0)] | Literal["int8"] | None = Field(
        None,
        description="Largest difference from the reference's answers that auto takes, or int8: any that is registered. "
        "By default the model's own, 0.0001.",
    )
    device: Literal["auto", "cpu", "cuda", "tensorrt"] = Field("auto", description="Where the arithmetic is done.")
    compile: bool = Field(False, description="Whether torch.compile makes kernels of the model; for long jobs on GPUs.")
    engine: Literal["local", "array"] = Field(
        "local",
        description="Who runs the shards: this machine alone, or as one of an array that shares nothing but the store.",
    )
    array_index: int | None = Field(
        None,
        ge=0,
        description="Which machine of the array this is, from 0; by default as AWS Batch or Kubernetes says.",
        examples=[0],
    )
    array_size: int | None = Field(
        None, ge=1, le=1_000_000, description="How many machines the array has.", examples=[20]
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads of the arithmetic; by default every core.")
    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        1,
        description="Worker processes on this machine, each with a model of its own; auto measures how many.",
    )
    window_rows: int = Field(
        16384, ge=1, le=1 << 24, description="Rows among which micro-batches are planned, at most."
    )
    memory: str | None = Field(
        None,
        description="What the job may hold in memory on this machine, model and workers included, such as 1.5GB.",
        examples=["1.5GB"],
    )
    input_version: int | None = Field(
        None, ge=0, description="Version of an input that is a Delta table; else the newest."
    )
    table: Literal["none", "delta"] = Field(
        "none",
        description="delta: the output is a Delta table, whose readers see all of a finished job or nothing of it.",
    )
    promote: bool = Field(True, description="Whether readers of the table see the job as soon as it is done.")
    max_error_rate: float = Field(1.0, ge=0, le=1, description="Stop with exit code 4 above this share of error rows.")
    max_errors: int | None = Field(None, ge=0, description="Stop with exit code 4 above so many error rows.")
    stall_s: float = Field(
        120, gt=0, le=86400, description="Seconds without an answer after which a worker is taken for hung."
    )
    log: Literal["text", "json"] = Field("text", description="How lines on stderr are written: for people, or as JSON.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port for Prometheus while the job runs; 0 takes a free one and says which."
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Address of that port; 0.0.0.0 lets other machines read it."
    )
    price: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="What an hour of this machine costs, in any currency.",
        examples=[0.34],
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="A run begins no shard that would not be done within so many minutes; exit code 75, and the same "
        "command goes on.",
    )
    max_cost: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="The same for what a run costs; needs price.", examples=[5.0]
    )
    allow_uri: list[str] = Field(
        default_factory=list,
        description="Place that a column of URIs may name beside the input's own bucket or folder; may be repeated.",
        examples=[["s3://pictures/2024/"]],
    )
    sse: Literal["AES256", "aws:kms"] | None = Field(
        None, description="Encryption at rest that is asked of S3 with every object written."
    )
    sse_key_id: str | None = Field(
        None,
        min_length=1,
        description="KMS key for --sse aws:kms; by default the bucket's own.",
        examples=["alias/data"],
    )
    endpoint_url: str | None = Field(None, description="S3 endpoint; by default as boto3 finds it.")
    region: str | None = Field(None, description="AWS region; by default as boto3 finds it.")
    aws_profile: str | None = Field(None, description="AWS profile; by default as boto3 finds it.")

    @field_validator("column", mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        """`text=body` and a list of such are taken beside a mapping."""
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | tuple):
            pairs = [str(item).partition("=") for item in value]
            if bad := [left + equals for left, equals, right in pairs if not (left and equals and right)]:
                raise ValueError(f"expected MODEL_COLUMN=SOURCE_COLUMN, such as text=body, found {', '.join(bad)}")
            return {left: right for left, _, right in pairs}
        return value

    @field_validator("keep", mode="before")
    @classmethod
    def _keep(cls, value: Any) -> Any:
        """`id,date` is taken beside a list."""
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("allow_uri", mode="after")
    @classmethod
    def _allow_uri(cls, value: list[str]) -> list[str]:
        for place in value:
            if not place or ("://" in place and not place.startswith(("s3://", "file://"))):
                raise ValueError(f"expected s3://bucket/prefix/, s3:// or a folder, found {place!r}")
        return value

    @field_validator("endpoint_url", mode="after")
    @classmethod
    def _endpoint_url(cls, value: str | None) -> str | None:
        """A secret in a url would be said by whatever fails there, and S3 takes none from it."""
        if value is not None and "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("expected a url without name and password, found one with; credentials come the boto3 way")
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _workers(cls, value: Any) -> Any:
        """A number may come as a word from the command line."""
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 256):
            raise ValueError(f"expected 1 to 256 processes or auto, found {shown(value)}")
        return value

    @field_validator("tolerance", mode="before")
    @classmethod
    def _tolerance(cls, value: Any) -> Any:
        """A number may come as a word from the command line."""
        if value is None or value == "int8":
            return value
        try:
            if isinstance(value, bool) or not 0 < float(value) < math.inf:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"expected a number above 0 or int8, found {shown(value)}") from None
        return float(value)

    @field_validator("memory", "part_size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(str(value))
        return value

    @model_validator(mode="after")
    def _apart(self) -> JobSpec:
        if self.input.rstrip("/") == self.output.rstrip("/"):
            raise ValueError(f"output must not be the input itself ({self.output})")
        return self

    @model_validator(mode="after")
    def _arrayed(self) -> JobSpec:
        for name in ("array_index", "array_size"):
            if getattr(self, name) is not None and self.engine != "array":
                raise ValueError(f"{name} goes with engine: array, found engine: {self.engine}")
        return self

    @model_validator(mode="after")
    def _priced(self) -> JobSpec:
        if self.max_cost is not None and self.price is None:
            raise ValueError(
                f"max_cost {self.max_cost:g} says nothing without price; give what an hour costs, such as --price 0.34"
            )
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> JobSpec:
        if self.sse_key_id is not None and self.sse != "aws:kms":
            raise ValueError("sse_key_id names a key of KMS; it goes with sse: aws:kms")
        if self.sse is not None and not self.output.startswith("s3://"):
            raise ValueError(f"sse is asked of S3, and the output is no s3:// prefix ({self.output})")
        return self

    @property
    def limit_s(self) -> float | None:
        """Seconds that a run may take, by its minutes and its cost; None: as many as it takes."""
        limits = [60 * self.max_minutes] if self.max_minutes is not None else []
        if self.max_cost is not None and self.price is not None:
            limits.append(3600 * self.max_cost / self.price)
        return min(limits, default=None)

    @property
    def where_from(self) -> dict[str, str | None]:
        """The settings of the store's client."""
        return {"endpoint_url": self.endpoint_url, "region": self.region, "profile": self.aws_profile}

    @property
    def output_from(self) -> dict[str, str | None]:
        """The settings of the client that writes the output: the same, and how it is encrypted."""
        return self.where_from | {"sse": self.sse, "sse_key_id": self.sse_key_id}


def read_job(path: Path | None, flags: dict[str, Any]) -> JobSpec:
    """Join a job file with flags; flags win.

    Raises:
        UsageError: the file is missing or no YAML, or a setting is unknown, missing or wrong; the message names it.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            content = read_plain(path)
        except NotPlain as error:
            raise UsageError(f"{path}: is not YAML that a job file may hold ({error}).") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
        if not isinstance(content, dict):
            raise UsageError(f"{path}: expected settings such as 'model: minilm', found {type(content).__name__}.")
        settings = content
    settings = settings | {name: value for name, value in flags.items() if value is not None}
    return make_job(settings, where=f"{path}: " if path else "")


def make_job(settings: dict[str, Any], *, where: str = "") -> JobSpec:
    """Check settings; `where` opens the error's message."""
    try:
        return JobSpec.model_validate(settings)
    except ValidationError as error:
        raise UsageError(where + explain(error)) from None


def shown(value: Any) -> str:
    """What was found, as far as it fits a line; a number of thousands of digits cannot even be written."""
    try:
        text = repr(value)
    except ValueError:
        return f"a {type(value).__name__} of thousands of digits"
    return text if len(text) <= 100 else text[:97] + "..."


def explain(error: ValidationError) -> str:
    """A validation's problems in one line: setting, rule, what was found, and the settings there are."""
    parts = []
    for item in error.errors(include_url=False)[:4]:
        key = ".".join(str(step) for step in item["loc"])
        if item["type"] == "missing":
            parts.append(f"{key} is missing; name it as --{key.replace('_', '-')} or in the job file")
        elif item["type"] == "extra_forbidden":
            parts.append(f"{key[:100]} is no setting; there are: {', '.join(JobSpec.model_fields)}")
        else:
            said = isinstance(item["input"], dict) or ", found " in item["msg"]
            found = "" if said else f", found {shown(item['input'])}"
            parts.append(f"{key + ': ' if key else ''}{item['msg'].removeprefix('Value error, ')}{found}")
    return "; ".join(parts) + "."
