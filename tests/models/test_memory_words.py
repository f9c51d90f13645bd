"""Out of memory is recognised, whichever library says it, so that a micro-batch is halved and no row is blamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import zoo
from models.errors import OutOfMemory
from models.runtimes.eager import EagerRuntime
from models.runtimes.memory import is_out_of_memory
from models.runtimes.onnx_runtime import OnnxRuntime

VOWELS = Path(zoo.__file__).parent / "vowels-bilstm/model.onnx"
SAID = [
    MemoryError("std::bad_alloc"),
    MemoryError(),
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: bad allocation"),
    RuntimeError("Failed to allocate memory for requested buffer of size 34359738368"),
    RuntimeError("Available memory of 1024 is smaller than requested bytes of 4096"),
    RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);"),
    RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cudaErrorMemoryAllocation"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
]
OTHER = [RuntimeError("Got invalid dimensions for input: steps"), ValueError("the memory of a row"), KeyError("ids")]


@pytest.mark.parametrize("error", SAID, ids=str)
def test_it_is_recognised_by_its_words(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_another_error_is_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


class FullMachine:
    """Stands where a library computes, and has no memory left."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, *args: Any) -> None:
        raise self.error

    def __call__(self, **inputs: Any) -> None:
        raise self.error


def onnx(machine: FullMachine) -> Callable[[dict[str, Any]], Any]:
    runtime = OnnxRuntime(VOWELS, device="cpu")
    runtime.session = machine
    return runtime.forward


def torch(machine: FullMachine) -> Callable[[dict[str, Any]], Any]:
    from torch import nn

    runtime = EagerRuntime(nn.Identity(), device="cpu")
    runtime.module = machine
    return runtime.forward


@pytest.mark.parametrize("error", SAID, ids=str)
@pytest.mark.parametrize("make", [onnx, torch])
def test_a_runtime_says_that_the_micro_batch_may_be_halved(
    make: Callable[[FullMachine], Callable[[dict[str, Any]], Any]], error: Exception
) -> None:
    with pytest.raises(OutOfMemory):
        make(FullMachine(error))({"inputs": np.ones((1, 2, 12), np.float32)})
