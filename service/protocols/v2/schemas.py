"""What goes over HTTP in the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from service.components import component

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
#: Checked where it becomes an array.
Data = Annotated[list[Any], component("TensorData")]
Dimensions = Annotated[list[Annotated[int, Field(ge=0, le=1 << 31)]], Field(min_length=1, max_length=8)]


class Asked(BaseModel):
    """What a request says: of these names and types, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Parameters(BaseModel):
    """Parameters of other names are let through, as the protocol has it."""

    model_config = ConfigDict(extra="allow", strict=True)

    __pydantic_extra__: dict[str, str | bool | int | float] = Field(init=False)


class TensorParameters(Parameters):
    """How a tensor comes: of an input, its bytes behind the JSON; of an output, whether it shall come so."""

    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class InputTensor(Asked):
    """An input: its data here, or `binary_data_size` bytes behind the JSON."""

    name: str
    shape: Dimensions
    datatype: Datatype
    parameters: TensorParameters = TensorParameters()
    data: Data | None = None


class RequestedOutput(Asked):
    """An output that is asked for."""

    name: str
    parameters: TensorParameters = TensorParameters()


class InferParameters(Parameters):
    """What a request says of itself."""

    timeout: Annotated[int, Field(gt=0, le=1 << 53)] | None = Field(default=None, description="microseconds")
    priority: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="0 and 1 are interactive, everything above is background"
    )
    binary_data_output: bool | None = Field(default=None, description="whether outputs come as bytes behind the JSON")
    sequence_id: int | str | None = None


class InferRequest(Asked):
    """Rows for one model, as tensors."""

    id: str = Field("", max_length=256)
    parameters: InferParameters = InferParameters()
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] = []


class OutputParameters(BaseModel):
    """How an output comes."""

    binary_data_size: int


class OutputTensor(BaseModel):
    """An output: its data here, or `binary_data_size` bytes behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: OutputParameters | None = None
    data: Data | None = None


class AnswerParameters(BaseModel):
    """What answered."""

    digest: str
    variant: str


class InferResponse(BaseModel):
    """The answers, as tensors whose first axis is the rows."""

    model_name: str
    model_version: str
    id: str = ""
    parameters: AnswerParameters
    outputs: list[OutputTensor]


class ServerMetadata(BaseModel):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives; -1 is a number of the request's own, the first of them the rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigTensor(BaseModel):
    """A tensor as a configuration has it."""

    name: str
    data_type: str
    dims: list[int]


class ConfigValue(BaseModel):
    """A parameter's value."""

    string_value: str


class ModelConfig(BaseModel):
    """A model's configuration, as far as there is one here: rows are batched by the lane, so none by the caller."""

    name: str
    platform: str
    backend: str
    max_batch_size: Literal[0] = 0
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    parameters: dict[str, ConfigValue]


class ModelStatistics(BaseModel):
    """What a model has answered since it was loaded."""

    name: str
    version: str
    inference_count: int = Field(description="rows answered, those at fault included")
    execution_count: int = Field(description="micro-batches that went through the model")


class Statistics(BaseModel):
    """What the models have answered."""

    model_stats: list[ModelStatistics]


class Live(BaseModel):
    """Whether the server is there."""

    live: bool


class Ready(BaseModel):
    """Whether the server answers with all its models."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model answers."""

    name: str
    ready: bool


class RepositoryModel(BaseModel):
    """One version of a model, served or in the store."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class RepositoryIndex(RootModel[list[RepositoryModel]]):
    """The models of the repository, by version."""


class IndexRequest(Asked):
    """Which models are asked for."""

    ready: bool = Field(default=False, description="only those that answer")


class RepositoryParameters(Asked):
    """What a change of the repository may say; the models' own configuration and files are no caller's to give."""

    unload_dependents: bool = False


class RepositoryRequest(Asked):
    """How a model shall be loaded or unloaded."""

    parameters: RepositoryParameters = RepositoryParameters()
