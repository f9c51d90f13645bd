"""The `torch` runtime: the original that other runtimes are checked against, and what computes on GPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import DeviceFailed, OutOfMemory, RuntimeUnavailable
from models.runtimes.memory import is_out_of_memory

#: What the weights are cast to, and float inputs with them.
DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
#: Calls at once on a GPU: while one computes, the next one's inputs and the last one's answers are copied.
GPU_STREAMS = 2


class EagerRuntime:
    """A torch module as a Runtime, on the CPU or on CUDA. May be called from several threads."""

    name = "torch"
    length_step = 1
    pads = True

    def __init__(
        self,
        module: nn.Module,
        *,
        precision: str = "fp32",
        device: str = "auto",
        threads: int | None = None,
        compiled: bool = False,
    ) -> None:
        """Put the module where it shall run.

        Args:
            module: takes tensors by name and returns tensors by name.
            precision: `fp32`, `bf16` or `fp16`: of the weights and the arithmetic.
            device: `cpu`, `cuda`, or `auto`: cuda where there is one.
            threads: for one call's arithmetic; torch has one such number for the whole process. None leaves it.
            compiled: whether torch.compile makes kernels of the module at the first calls: seconds to minutes, which
                long jobs on GPUs get back.

        Raises:
            RuntimeUnavailable: CUDA was asked for and is not there, or torch has no such precision.
        """
        if precision not in DTYPES:
            raise RuntimeUnavailable("torch", why=f"it has no precision {precision!r} here", available=list(DTYPES))
        self.device, self.precision = choose_device(device), precision
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self.streams = GPU_STREAMS if self.device == "cuda" else 1
        self.input_names: tuple[str, ...] = tuple(getattr(module, "input_names", ()))
        self.module: Any = module.eval().to(device=self.device, dtype=DTYPES[precision])
        if compiled:
            self.module = torch.compile(self.module, dynamic=True)
        self._idle: deque[Any] = deque()  # streams for copies that no call uses now

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run one micro-batch; see Runtime. Inputs that the module does not name are left out."""
        if any(len(array) == 0 for array in inputs.values()):
            raise ValueError("a micro-batch has at least one row, found none")
        names = self.input_names or tuple(inputs)
        host = {name: torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names}
        try:
            with torch.inference_mode():
                return self._on_gpu(host) if self.device == "cuda" else self._on_cpu(host)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(first_sentence(error)) from None
        except torch.AcceleratorError as error:
            # CUDA says so at the next call where its kernels failed, and says the same from then on.
            raise DeviceFailed(self.device, reason=first_sentence(error)) from None
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(first_sentence(error)) from None
            raise

    def _on_cpu(self, host: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        answers = self.module(**{name: self._cast(tensor) for name, tensor in host.items()})
        return {name: tensor.float().numpy() for name, tensor in answers.items()}

    def _on_gpu(self, host: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        """Copy in, compute, copy out; the copies in a stream of this call's own, beside another's arithmetic. It is
        kept for later calls: a window's threads end with it.
        """
        try:
            copies = self._idle.pop()
        except IndexError:
            copies = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        try:
            return self._beside(copies, host)
        finally:
            self._idle.append(copies)

    def _beside(self, copies: Any, host: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        """One call with the copies in a stream.

        Only pinned memory is copied while the host goes on, and it must live until the copy is done: `pinned` and
        `answers` are held until the last event.
        """
        arithmetic = torch.cuda.current_stream()
        pinned = {name: tensor.pin_memory() for name, tensor in host.items()}
        with torch.cuda.stream(copies):
            inputs = {name: tensor.to("cuda", non_blocking=True) for name, tensor in pinned.items()}
        arithmetic.wait_stream(copies)
        for tensor in inputs.values():
            tensor.record_stream(arithmetic)
        answers = self.module(**{name: self._cast(tensor) for name, tensor in inputs.items()})
        answers = {name: tensor.float() for name, tensor in answers.items()}
        copies.wait_event(arithmetic.record_event())
        with torch.cuda.stream(copies):
            found = {name: torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for name, one in answers.items()}
            for name, tensor in answers.items():
                tensor.record_stream(copies)
                found[name].copy_(tensor, non_blocking=True)
        copies.record_event().synchronize()
        # Pinned memory is scarce; an answer may be kept for a whole window.
        return {name: tensor.numpy().copy() for name, tensor in found.items()}

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(DTYPES[self.precision]) if tensor.is_floating_point() else tensor


def choose_device(device: str) -> str:
    """`auto` is CUDA where torch sees one, else the CPU.

    Raises:
        RuntimeUnavailable: CUDA was asked for and is not there.
    """
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device == "cuda" and not has_cuda:
        raise RuntimeUnavailable("torch", why="torch sees no CUDA device on this host", available=["--device cpu"])
    return device


def first_sentence(error: Exception) -> str:
    return (str(error).strip() or "the machine's memory is full").splitlines()[0][:200]
