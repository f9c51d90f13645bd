"""What a model takes and gives, as tensors: the same words in its metadata, its requests and its answers."""

from __future__ import annotations

from dataclasses import dataclass

from models.decode import scores_kept
from models.spec import ModelSpec
from service.protocols.v2.datatypes import BYTES, CONFIG_TYPES
from service.protocols.v2.schemas import ConfigTensor, TensorMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor. `shape` begins with the rows; -1 is a number that the request brings."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def metadata(self) -> TensorMetadata:
        return TensorMetadata(name=self.name, datatype=self.datatype, shape=list(self.shape))

    def config(self) -> ConfigTensor:
        return ConfigTensor(name=self.name, data_type=CONFIG_TYPES[self.datatype], dims=list(self.shape))


def input_of(spec: ModelSpec) -> TensorSpec:
    """The one input: texts and encoded images are BYTES, a sequence is its steps of channels."""
    column = spec.inputs[0]
    if column.kind == "sequence":
        return TensorSpec(name=column.name, datatype="FP32", shape=(-1, -1, -1))
    return TensorSpec(name=column.name, datatype=BYTES, shape=(-1,))


def outputs_of(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """The outputs by the task, then `truncated` and `error`, which every task has.

    A class of many labels keeps the best scores only: then these come with their labels beside them, best first.
    """
    if spec.task == "text-embedding":
        own = [TensorSpec(name="embedding", datatype="FP32", shape=(-1, spec.dimension or -1))]
    else:
        kept = scores_kept(spec, None)
        scores = [TensorSpec(name="scores", datatype="FP32", shape=(-1, kept))]
        if kept < len(spec.labels):
            scores = [
                TensorSpec(name="top_labels", datatype=BYTES, shape=(-1, kept)),
                TensorSpec(name="top_scores", datatype="FP32", shape=(-1, kept)),
            ]
        if spec.task == "text-multi-label-classification":
            own = [TensorSpec(name="labels", datatype=BYTES, shape=(-1,)), *scores]
        else:
            own = [
                TensorSpec(name="label", datatype=BYTES, shape=(-1,)),
                TensorSpec(name="score", datatype="FP32", shape=(-1,)),
                *scores,
            ]
    return (
        *own,
        TensorSpec(name="truncated", datatype="BOOL", shape=(-1,)),
        TensorSpec(name="error", datatype=BYTES, shape=(-1,)),
    )
