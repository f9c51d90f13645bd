"""The `onnx` runtime: ONNX Runtime on the CPU, or on CUDA where its provider is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import OutOfMemory, RuntimeUnavailable

DTYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OnnxRuntime:
    """One ONNX file as a Runtime. ONNX Runtime's sessions may be called from several threads."""

    name = "onnx"
    precision = "fp32"

    def __init__(
        self, path: Path, *, threads: int | None = None, streams: int | None = None, device: str = "auto"
    ) -> None:
        """Load the graph.

        Args:
            path: the .onnx file; external data beside it is read too.
            threads: of the arithmetic; None takes OMP_NUM_THREADS, else all cores that this process may use.
            streams: calls that run at once and share the threads; None: on the CPU as many as there are threads.
            device: `cpu`, `cuda`, or `auto`: cuda where its provider is installed.

        Raises:
            RuntimeUnavailable: the file is missing or no graph of a known kind, or the device is not there.
        """
        providers = installed_providers()
        import onnxruntime as ort

        ort.set_default_logger_severity(3)
        if not path.is_file():
            raise RuntimeUnavailable("onnx", why=f"{path} does not exist", available=["torch"])
        self.device = choose_device(device, providers)
        self.threads = threads or default_threads()
        self.streams = min(streams or (self.threads if self.device == "cpu" else 1), self.threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(self.threads // self.streams, 1)
        options.inter_op_num_threads = 1
        # Threads that spin between calls take the cores from encoding, reading and writing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = (
            ["CUDAExecutionProvider", "CPUExecutionProvider"] if self.device == "cuda" else ["CPUExecutionProvider"]
        )
        try:
            self.session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise RuntimeUnavailable("onnx", why=f"{path} does not load ({str(error).splitlines()[0][:200]})") from None
        self.input_types = {node.name: DTYPES.get(node.type) for node in self.session.get_inputs()}
        self.input_names = tuple(self.input_types)
        self.output_names = tuple(node.name for node in self.session.get_outputs())

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run one micro-batch; see Runtime. Inputs that the graph does not take are left out."""
        if any(len(array) == 0 for array in inputs.values()):
            # ONNX Runtime 1.31 ends the process by SIGSEGV where a recurrent node gets no rows.
            raise ValueError("a micro-batch has at least one row, found none")
        feed = {
            name: np.ascontiguousarray(array, dtype=self.input_types[name])
            for name, array in inputs.items()
            if name in self.input_types
        }
        try:
            answers = self.session.run(None, feed)
        except Exception as error:
            if "allocate memory" in str(error) or "Available memory" in str(error):
                raise OutOfMemory(str(error)) from None
            raise
        return dict(zip(self.output_names, answers, strict=True))


def installed_providers() -> list[str]:
    """ONNX Runtime's execution providers on this host."""
    # ONNX Runtime 1.31 keeps a device id and an event log under the user's cache unless it is told not to.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    found: list[str] = ort.get_available_providers()
    return found


def choose_device(device: str, providers: list[str]) -> str:
    """`auto` is CUDA where its provider is installed, else the CPU.

    Raises:
        RuntimeUnavailable: CUDA was asked for and its provider is not installed.
    """
    has_cuda = "CUDAExecutionProvider" in providers
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device == "cuda" and not has_cuda:
        raise RuntimeUnavailable(
            "onnx", why="--device cuda needs onnxruntime-gpu and its CUDA provider", available=["--device cpu"]
        )
    return device


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set to a number, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))
