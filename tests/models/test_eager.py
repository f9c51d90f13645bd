"""Torch as a runtime: names in, names out, and what does not fit is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import OutOfMemory, RuntimeUnavailable
from models.runtimes.eager import EagerRuntime


class Halve(torch.nn.Module):
    """Takes one input by name and gives it back in half precision and a gradient's reach."""

    input_names = ("pixel_values",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": (pixel_values * self.scale).half()}


class Greedy(torch.nn.Module):
    """Wants more memory than any machine has."""

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": rows + torch.empty(2**50)}


class Wrong(torch.nn.Module):
    """Fails for another reason than memory."""

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": rows @ torch.ones(9, 9)}


def test_answers_are_float32_arrays_by_name_and_other_inputs_are_left_out() -> None:
    runtime = EagerRuntime(Halve(), device="cpu")
    answers = runtime.forward({"pixel_values": np.ones((2, 3), np.float32), "unknown": np.ones(1)})
    assert list(answers) == ["logits"]
    assert answers["logits"].dtype == np.float32
    np.testing.assert_array_equal(answers["logits"], np.full((2, 3), 0.5))
    assert (runtime.name, runtime.precision, runtime.device) == ("torch", "fp32", "cpu")


def test_a_compiled_module_answers_as_it_does_otherwise() -> None:
    rows = {"pixel_values": np.arange(12, dtype=np.float32).reshape(4, 3)}
    found = EagerRuntime(Halve(), device="cpu", compiled=True)
    assert isinstance(found.module, torch._dynamo.eval_frame.OptimizedModule)
    np.testing.assert_array_equal(
        found.forward(rows)["logits"], EagerRuntime(Halve(), device="cpu").forward(rows)["logits"]
    )


def test_a_precision_that_torch_does_not_have_is_said() -> None:
    with pytest.raises(RuntimeUnavailable, match=r"no precision 'int8' here\. Available here: fp32, bf16, fp16"):
        EagerRuntime(Halve(), device="cpu", precision="int8")


def test_what_does_not_fit_into_memory_may_be_halved() -> None:
    with pytest.raises(OutOfMemory):
        EagerRuntime(Greedy(), device="cpu").forward({"rows": np.ones(1, np.float32)})


def test_another_failure_is_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="mat"):
        EagerRuntime(Wrong(), device="cpu").forward({"rows": np.ones((2, 3), np.float32)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this host has the device that must be missing")
def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_is() -> None:
    assert EagerRuntime(Halve(), device="auto").device == "cpu"
    with pytest.raises(RuntimeUnavailable, match=r"torch sees no CUDA device.*--device cpu"):
        EagerRuntime(Halve(), device="cuda")
