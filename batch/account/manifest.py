"""Manifest: the shape of `_tandem/manifest.json`, the one source of its types here and of its published JSON schema."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from batch.account.histogram import SCORE_CLASSES

#: A key that the schema does not name is a mistake, ours or somebody else's.
CLOSED = with_config(ConfigDict(extra="forbid"))


def _of_every_class(scores: list[int]) -> list[int]:
    if len(scores) not in (0, SCORE_CLASSES):
        raise ValueError(f"expected {SCORE_CLASSES} classes or none, found {len(scores)}")
    return scores


Rows = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256.")]
Moment = Annotated[
    str,
    AfterValidator(lambda text: datetime.fromisoformat(text) and text),
    Field(description="UTC, as ISO 8601.", json_schema_extra={"format": "date-time"}),
]
Scores = Annotated[list[Rows], AfterValidator(_of_every_class), Field(max_length=SCORE_CLASSES)]
Edge = Annotated[str, Field(pattern="^[0-9]{1,12}$")]


@CLOSED
class ModelFacts(TypedDict):
    """Which model answered."""

    tag: str
    digest: str
    variant: str
    runtime: str
    precision: str
    reference: NotRequired[Annotated[str | None, Field(description="What other variants are compared with, if any.")]]
    family: str
    task: str


@CLOSED
class Settings(TypedDict):
    """What of the job changes answers; the fingerprint is the digest of these."""

    input: str
    column: dict[str, str]
    keep: list[str] | None
    where: str | None
    limit: int | None
    label: str | None
    on_long: str
    top_k: int | None
    shard_mb: float
    part_size: NotRequired[Annotated[int, Field(description="In bytes, where it is not the default.")]]
    model: str
    variant: str


#: Why one row has no prediction, and which row it is.
Example = TypedDict("Example", {"class": str, "message": str, "source": str, "row": int})
CLOSED(Example)


@CLOSED
class ClassQuality(TypedDict):
    """Of the rows of one true label."""

    precision: Share
    recall: Share
    f1: Share
    rows: Rows


@CLOSED
class Quality(TypedDict):
    """How predicted labels compare with true ones; error rows and rows without a true label are not in it."""

    rows: Rows
    accuracy: Share
    labels: Annotated[list[str], Field(description="Name the rows (true) and columns (predicted) of `confusion`.")]
    classes: dict[str, ClassQuality]
    confusion: list[list[Rows]]


class Counts(TypedDict):
    """What merge_counts adds up."""

    labels: dict[str, int]
    scores: list[int]
    lengths: dict[str, int]
    examples: list[Example]


@CLOSED
class Work(TypedDict):
    """What the parts took, whichever runs wrote them, retries left out; steps overlap: their seconds may be more."""

    parts: Annotated[int, Field(description="How many parts say so; those of older versions do not.")]
    attempts: Annotated[int, Field(description="How many runs wrote them.")]
    began: Moment | None
    ended: Moment | None
    spent_s: dict[str, float]
    micro_batches: Rows
    pieces: Annotated[
        int, Field(description="Rows, or the chunks that long texts became, that went through the model.")
    ]
    padded: Annotated[int, Field(description="Tokens, steps or images that the arithmetic was given.")]
    real: Annotated[int, Field(description="Those of them that were no padding.")]
    repeated: Annotated[int, Field(description="Pieces that another one's answer was good for.")]
    padding_share: float | None


@CLOSED
class PartFacts(TypedDict):
    """One part."""

    key: str
    shard: str
    size_bytes: int
    rows: Rows
    error_rows: Rows
    truncated: Rows
    began: NotRequired[Moment]
    ended: NotRequired[Moment]


@CLOSED
class Interval(TypedDict):
    """What was expected: nine of ten cases lie between the other two."""

    value: float
    low: float
    high: float


@CLOSED
class Sampled(TypedDict):
    """What an estimate cost."""

    rows: Rows
    row_groups: Rows
    bytes: Rows
    answered: Annotated[int, Field(ge=0, description="Rows that went through the model for it.")]
    seconds: Seconds


@CLOSED
class Truth(TypedDict):
    """What became of an estimate."""

    seconds: Seconds
    rows: Rows
    memory_bytes: Annotated[int | None, Field(description="At the peak; none where several processes worked.")]
    seconds_within: Annotated[bool, Field(description="Whether the seconds lie between those expected.")]


@CLOSED
class Expected(TypedDict):
    """What the run was expected to take, before it began, beside what it took."""

    by: Annotated[Literal["plan", "run"], Field(description="Who made it: `tandem plan` on this host, or the run.")]
    confidence: Share
    rows: Interval
    tokens: NotRequired[Interval]
    steps: NotRequired[Interval]
    images: NotRequired[Interval]
    seconds: Interval
    output_bytes: Interval
    memory_bytes: Interval
    price_per_hour: float | None
    cost: Interval | None
    measured: Annotated[bool, Field(description="Whether rows went through the model, or its known costs counted.")]
    corrected_by: Annotated[float, Field(description="By what the seconds are multiplied: what this host has learnt.")]
    sample: Sampled
    truth: Truth


@CLOSED
class Run(TypedDict):
    """The run that finished the job: its own rows only, and where its time went."""

    started: Moment
    seconds: Annotated[float, Field(ge=0, description="Of the whole command, whatever of its processes rows ended.")]
    rows: Rows
    rows_in_vain: NotRequired[Annotated[int, Field(ge=0, description="Of them, in shards that another run put first.")]]
    rows_per_s: float | None
    tokens_per_s: NotRequired[float | None]
    steps_per_s: NotRequired[float | None]
    images_per_s: NotRequired[float | None]
    unit: Literal["tokens", "steps", "images"]
    workers: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    streams: Annotated[int, Field(ge=1)]
    start_s: Seconds
    spent_s: Annotated[dict[str, float], Field(description="Step -> seconds of all workers; steps overlap.")]
    micro_batches: Rows
    mean_micro_batch: float | None
    padding_share: float | None
    repeated_rows: Rows
    plan_s: Seconds
    predicted_s: Seconds
    forward_s: Seconds
    bottleneck: str | None
    gflop_per_s: NotRequired[float]
    matmul_gflop_per_s: NotRequired[float | None]
    arithmetic_share: NotRequired[float | None]
    versions: dict[str, str]
    estimate: NotRequired[Expected | None]


def _square(quality: Quality) -> Quality:
    """A cell for every two labels, and a line for each that a label is true of."""
    names, cells = quality["labels"], quality["confusion"]
    if len(cells) != len(names) or any(len(row) != len(names) for row in cells):
        raise ValueError(f"confusion: expected {len(names)} rows and columns, as there are labels")
    return quality


@CLOSED
class Manifest(TypedDict):
    """What a finished Tandem job says of itself, in `_tandem/manifest.json` of its output."""

    tandem: Annotated[Literal[1], Field(description="The version of this form.")]
    fingerprint: Digest
    model: ModelFacts
    settings: Settings
    plans: Annotated[int, Field(ge=1, description="How many plans it covers; input that has grown adds one.")]
    shards: Rows
    input_objects: Rows
    input_rows: Annotated[int, Field(ge=0, description="Before the condition.")]
    rows: Annotated[int, Field(ge=0, description="In the parts, error rows included.")]
    error_rows: Rows
    errors: Annotated[dict[str, Rows], Field(description="Error class -> rows.")]
    truncated: Rows
    retries: NotRequired[Annotated[int, Field(ge=0, description="How often `tandem retry` replaced a part.")]]
    quality: Annotated[Quality, AfterValidator(_square)] | None
    parity: Annotated[dict[str, Any] | None, Field(description="What comparing the variant with the reference found.")]
    digest: Annotated[str, Field(description="Over shard ids, row counts and error rows: alike for runs that agree.")]
    labels: NotRequired[Annotated[dict[str, Rows], Field(description="Predicted label -> rows.")]]
    scores: NotRequired[Annotated[Scores, Field(description="Rows by score, 20 classes from 0 to 1, or none.")]]
    lengths: NotRequired[
        Annotated[
            dict[Edge, Rows],
            Field(
                description="Pieces by length, from the key to below the next one, as the runs met them: a row that "
                "`tandem retry` ran again counts as it did at first, if at all."
            ),
        ]
    ]
    examples: NotRequired[Annotated[list[Example], Field(description="Some error rows of each class.")]]
    work: NotRequired[Work]
    parts: list[PartFacts]
    run: Run
    retried: NotRequired[Annotated[Run, Field(description="The last `tandem retry`: its own rows only.")]]


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def manifest_schema() -> dict[str, Any]:
    """The JSON schema, draft 2020-12. It is closed: a key that it does not name is refused."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:tandem:manifest:1"}
    return schema | _adapter().json_schema() | {"title": "Tandem manifest"}


def check_manifest(body: bytes) -> Manifest:
    """Read a manifest that may be anybody's.

    Raises:
        ValueError: it does not follow the schema; the message names the first place that does not.
    """
    try:
        return _adapter().validate_python(json.loads(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
