"""The same models on a GPU: the same answers at every precision, copies beside arithmetic, and memory that runs out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from models.choose import choose_variant
from models.errors import OutOfMemory
from models.load import describe_model, load_model
from models.runtimes.eager import GPU_STREAMS, EagerRuntime
from tests.models.made_variants import rows_of

MODELS = ["bbc-bert", "fashion-resnet", "language-bigru", "vowels-bilstm"]


@pytest.mark.parametrize(("precision", "largest"), [("fp32", 1e-3), ("fp16", 1e-2), ("bf16", 5e-2)])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_on_cuda_as_the_reference_does(name: str, precision: str, largest: float) -> None:
    rows = rows_of(name, 40)
    model = load_model(name, runtime="torch", precision=precision, device="cuda")
    assert (model.variant, model.streams) == (f"torch-{precision}", GPU_STREAMS)
    right = load_model(name, runtime="onnx", precision="fp32", device="cpu").predict(rows)
    for found, expected in zip(model.predict(rows), right, strict=True):
        assert dict(found["scores"]) == pytest.approx(dict(expected["scores"]), abs=largest)


class Wide(torch.nn.Module):
    """Adds one, slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        for _ in range(20):
            rows = rows @ torch.eye(rows.shape[1], device=rows.device)
        return {"logits": rows + self.one}


def test_calls_from_several_threads_do_not_see_each_others_copies() -> None:
    runtime = EagerRuntime(Wide(), device="cuda")
    work = [np.full((64, 512), number, np.float32) for number in range(100)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda rows: runtime.forward({"rows": rows})["logits"], work))
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, np.full((64, 512), number + 1.0))


def test_windows_whose_threads_come_and_go_share_the_same_few_streams() -> None:
    runtime = EagerRuntime(Wide(), device="cuda")
    rows = np.ones((8, 64), np.float32)
    for _ in range(10):
        with ThreadPoolExecutor(GPU_STREAMS) as window:
            list(window.map(lambda _: runtime.forward({"rows": rows}), range(6)))
    assert 1 <= len(runtime._idle) <= GPU_STREAMS


class Greedy(torch.nn.Module):
    """Wants more memory than any GPU has."""

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": rows + torch.empty(2**42, device=rows.device)}


def test_memory_that_runs_out_may_be_halved_and_the_next_call_answers() -> None:
    with pytest.raises(OutOfMemory):
        EagerRuntime(Greedy(), device="cuda").forward({"rows": np.ones(1, np.float32)})
    answer = EagerRuntime(Wide(), device="cuda").forward({"rows": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(answer["logits"], np.full((1, 4), 2.0))


def test_auto_on_cuda_is_a_runtime_that_computes_there() -> None:
    name = choose_variant(describe_model("bbc-bert"), device="cuda").name
    model: Any = load_model("bbc-bert", device="cuda")
    assert model.variant == name
    assert model.runtime.device == "cuda"
