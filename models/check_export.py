"""Does the ONNX export answer as the original does? Asked before it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.decode import width
from models.errors import ContractBroken, ExportDisagrees, SpecInvalid
from models.model import pad
from models.pixels import image_shape
from models.runtimes.runtime import Runtime
from models.spec import ModelSpec

Inputs = Mapping[str, NDArray[Any]]
SHORT_LENGTHS = (1, 17)
#: Where a model states no limit.
LONG_LENGTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What a random input of the network may hold: ids below `vocabulary`, or `channels` numbers a step."""

    vocabulary: int = 0
    channels: int = 0
    pad_id: int = 0


def check_export(original: Runtime, export: Runtime, spec: ModelSpec, inside: Inside) -> float:
    """Compare on random rows of lengths 1, 17 and the longest: each alone, then all in one padded micro-batch.

    The original answers each row alone, too, so padding that leaks into an answer is found.

    Returns:
        The largest difference met, relative to the answer where that is above 1.

    Raises:
        ExportDisagrees: a difference above `spec.tolerance`; names the case.
        ContractBroken: the original itself answers a row otherwise among others.
        SpecInvalid: the original does not take the longest input, or answers in another shape than the spec says.
    """
    rows = list(random_rows(spec, inside))
    expected = [answer_alone(original, name, row, spec) for name, row in rows]
    largest = 0.0
    for (name, row), answer in zip(rows, expected, strict=True):
        largest = max(largest, compare(f"one row of {name}", run(export, row), answer, spec))
    together = join_rows([row for _, row in rows], inside.pad_id)
    case = "a mixed batch of " + ", ".join(name for name, _ in rows)
    answers = np.concatenate(expected)
    if not (leak := difference(run(original, together), answers)) <= spec.tolerance:
        raise ContractBroken(
            spec.name,
            promise="a row is answered alike alone and among others",
            found=f"{case} changes the original's own answers by {leak:.3g}: the network looks at padding",
        )
    return max(largest, compare(case, run(export, together), answers, spec))


def random_rows(spec: ModelSpec, inside: Inside) -> Iterator[tuple[str, Inputs]]:
    """What the row is -> the inputs of a micro-batch of that row alone. The same rows for the same spec, always."""
    random = np.random.default_rng(0)
    if spec.preprocess is not None:
        for number in range(3):
            pixels = random.standard_normal((1, *image_shape(spec.preprocess)))
            yield f"image {number + 1}", {"pixel_values": pixels.astype(np.float32)}
        return
    longest = spec.max_length or LONG_LENGTH
    for length in sorted({*(short for short in SHORT_LENGTHS if short < longest), longest}):
        name = f"length {length}"
        if inside.vocabulary:
            ids = random.integers(0, inside.vocabulary - 1, (1, length))
            ids += ids >= inside.pad_id  # any id but that of padding
        if spec.family == "rnn":
            numbers = random.standard_normal((1, length, inside.channels)).astype(np.float32)
            yield name, {"inputs": ids if inside.vocabulary else numbers, "lengths": np.asarray([length])}
        else:
            zeros = np.zeros((1, length), np.int64)
            yield name, {"input_ids": ids, "attention_mask": zeros + 1, "token_type_ids": zeros}


def join_rows(rows: list[Inputs], pad_id: int) -> Inputs:
    """One micro-batch of all rows, padded."""
    return {
        name: pad([row[name][0] for row in rows], pad_id if name == "input_ids" else 0)
        if name != "lengths"
        else np.concatenate([row[name] for row in rows])
        for name in rows[0]
    }


def answer_alone(original: Runtime, name: str, row: Inputs, spec: ModelSpec) -> NDArray[Any]:
    """The original's answer to one row, of the width that the spec says."""
    try:
        answer = run(original, row)
    except Exception as error:  # an index beyond the position embeddings is an IndexError, a RuntimeError, ...
        raise SpecInvalid(
            spec.name,
            f"the network fails on {name}: {type(error).__name__}: {str(error).splitlines()[0][:150]}",
            remedy="Does the network take as many tokens as tokenizer_config.json (model_max_length) says?",
        ) from None
    if answer.shape != (1, width(spec)):
        raise SpecInvalid(
            spec.name, f"the network answers {answer.shape[1:]} numbers to {name}, expected {width(spec)}"
        )
    return answer


def run(runtime: Runtime, inputs: Inputs) -> NDArray[Any]:
    return next(iter(runtime.forward(inputs).values()))


def compare(case: str, found: NDArray[Any], expected: NDArray[Any], spec: ModelSpec) -> float:
    """The largest difference, relative where answers are above 1.

    Raises:
        ExportDisagrees: it is above the spec's tolerance, or no number, or the shapes differ.
    """
    if not (largest := difference(found, expected)) <= spec.tolerance:
        output = "embedding" if spec.task == "text-embedding" else "logits"
        raise ExportDisagrees(spec.name, case=case, output=output, difference=largest, tolerance=spec.tolerance)
    return largest


def difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))


def describe_inside(network: Any, spec: ModelSpec, folder: Path) -> Inside:
    """What may be fed to a network from `build_network`."""
    if spec.preprocess is not None:
        return Inside()
    config = network.body.config
    if spec.architecture == "recurrent":
        return Inside(vocabulary=config.vocab_size or 0, channels=config.input_size)
    from models.tokenizer import find_pad_id, read_tokenizer

    return Inside(vocabulary=config.vocab_size, pad_id=find_pad_id(read_tokenizer(folder), folder))
