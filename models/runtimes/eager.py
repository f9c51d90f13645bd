"""Torch, one operation after another: the original that other runtimes are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import OutOfMemory, RuntimeUnavailable


class EagerRuntime:
    """A torch module as a Runtime, in float32, on the CPU or on CUDA. May be called from several threads."""

    name = "torch"
    precision = "fp32"
    streams = 1
    pads = True

    def __init__(self, module: nn.Module, *, device: str = "auto", threads: int | None = None) -> None:
        """Put the module where it shall run.

        Args:
            module: takes tensors by name and returns tensors by name.
            device: `cpu`, `cuda`, or `auto`: cuda where there is one.
            threads: for one call's arithmetic; torch has one such number for the whole process. None leaves it.

        Raises:
            RuntimeUnavailable: CUDA was asked for and is not there.
        """
        self.device = choose_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self.module = module.eval().to(self.device)
        self.input_names: tuple[str, ...] = tuple(getattr(module, "input_names", ()))

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run one micro-batch; see Runtime. Inputs that the module does not name are left out."""
        names = self.input_names or tuple(inputs)
        try:
            with torch.inference_mode():
                tensors = {name: torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self.device) for name in names}
                answers = self.module(**tensors)
                return {name: tensor.float().cpu().numpy() for name, tensor in answers.items()}
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(first_sentence(error)) from None
        except RuntimeError as error:
            if "not enough memory" in str(error) or "can't allocate memory" in str(error):
                raise OutOfMemory(first_sentence(error)) from None
            raise
        except MemoryError as error:
            raise OutOfMemory(str(error) or "the machine's memory is full") from None


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
    return str(error).strip().splitlines()[0][:200]
