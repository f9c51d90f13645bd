"""The hand-written loops and their grids: every row answered in its place, whatever the batches."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers import fixed_loop, image_loop

LENGTHS = [3, 9, 1, 7, 7, 2, 8, 5, 4, 6, 3]


class Counting:
    """A graph whose answer is what it was given: a text's sum of ids, an image's first pixel."""

    def __init__(self, *, inputs: list[str], streams: int = 1) -> None:
        self.inputs, self.streams, self.shapes = inputs, streams, list[tuple[int, ...]]()

    def run(self, batch: Any) -> Any:
        first = batch[self.inputs[0]]
        self.shapes.append(first.shape)
        return first.reshape(len(first), -1).sum(axis=1, keepdims=True).astype(np.float32)

    def run_all(self, batches: Any) -> list[Any]:
        return [self.run(batch) for batch in batches]


class Sized(list[int]):
    """Ids that have a length, as an encoding does."""

    @property
    def ids(self) -> list[int]:
        return list(self)


def encodings() -> list[Sized]:
    return [Sized([1000 + row, *[0] * (length - 1)]) for row, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_texts_are_answered_in_their_order_and_padded_to_the_longest_of_their_batch(size: int) -> None:
    graph = Counting(inputs=["input_ids", "attention_mask"])
    answers = fixed_loop.predict(graph, encodings(), size)
    assert answers[:, 0].tolist() == [1000 + row for row in range(len(LENGTHS))]
    ordered = sorted(LENGTHS, reverse=True)
    assert graph.shapes == [(len(ordered[i : i + size]), ordered[i]) for i in range(0, len(ordered), size)]


def test_the_grid_times_batches_of_the_whole_set_from_short_to_long() -> None:
    graph, rows = Counting(inputs=["input_ids", "attention_mask"]), [Sized([1] * (1 + i)) for i in range(100)]
    fixed_loop.clock(graph, rows, 5, 20)
    assert graph.shapes == [(5, 90), (5, 65), (5, 40), (5, 15)]
    assert fixed_loop.draw_evenly(["a", "b"], 9) == ["a", "b"]


@pytest.mark.parametrize("streams", [1, 2])
def test_images_are_answered_in_their_order(streams: int) -> None:
    values = [png(grey) for grey in range(7)]
    graph = Counting(inputs=["pixel_values"], streams=streams)
    answers = image_loop.predict(graph, values, lambda value: image_loop.prepare_grey(value, 1.0, 0.0, 1.0), 3)
    assert (answers[:, 0] / 4).tolist() == list(range(7))
    assert sorted(graph.shapes) == [(1, 1, 2, 2), (3, 1, 2, 2), (3, 1, 2, 2)]


def png(grey: int) -> bytes:
    sink = io.BytesIO()
    Image.new("L", (2, 2), grey).save(sink, "PNG")
    return sink.getvalue()
