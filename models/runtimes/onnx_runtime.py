"""The `onnx` runtime: ONNX Runtime on the CPU, or on CUDA where its provider is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import OutOfMemory, RuntimeUnavailable
from models.locate import cache_home
from models.runtimes.memory import is_out_of_memory
from models.runtimes.threads import share_threads

DTYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}

#: Device -> its execution provider.
PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
#: Positions (rows x length) of a micro-batch after which the arena gives back what it grew by. MiniLM, after one of
#: 64 x 256: the process holds 1,417 MB without this and 208 MB with it. To do so after every call costs a third of the
#: speed, and an arena that grows by what is asked for (kSameAsRequested) holds more than one that doubles.
LARGE = 8192
#: The same of images, in bytes of pixels: half of what the family `cnn` lets into a micro-batch on the CPU.
LARGE_BYTES = 8 << 20


class OnnxRuntime:
    """One ONNX file as a Runtime. ONNX Runtime's sessions may be called from several threads."""

    name = "onnx"
    length_step = 1
    pads = True

    def __init__(
        self,
        path: Path,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        streams: int | None = None,
        device: str = "auto",
    ) -> None:
        """Load the graph.

        Args:
            path: the .onnx file; external data beside it is read too.
            precision: what the graph is made of; nothing here changes it.
            threads: of the arithmetic; None takes OMP_NUM_THREADS, else all cores that this process may use.
            streams: calls that share these threads; None gives each call one, and a GPU one call.
            device: `cpu`, `cuda`, `tensorrt` (on CUDA, with engines that it builds once and keeps in the cache), or
                `auto`: cuda where its provider is installed.

        Raises:
            RuntimeUnavailable: the file is missing or no graph of a known kind, or the device is not there.
        """
        providers = installed_providers()
        import onnxruntime as ort

        ort.set_default_logger_severity(3)
        if not path.is_file():
            raise RuntimeUnavailable("onnx", why=f"{path} does not exist", available=["torch"])
        self.device = choose_device(device, providers)
        self.precision = precision
        self.threads, self.streams = share_threads(threads, 1 if self.device != "cpu" and not streams else streams)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads // self.streams
        options.inter_op_num_threads = 1
        # Threads that spin between calls take the cores from encoding, reading and writing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = ort.InferenceSession(str(path), options, providers=providers_of(self.device))
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise RuntimeUnavailable("onnx", why=f"{path} does not load ({str(error).splitlines()[0][:200]})") from None
        self.input_types = {node.name: DTYPES.get(node.type) for node in self.session.get_inputs()}
        self.input_names = tuple(self.input_types)
        self.input_shapes = {
            node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape)
            for node in self.session.get_inputs()
        }
        self.output_names = tuple(node.name for node in self.session.get_outputs())
        self.shrinking = ort.RunOptions()
        self.shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

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
            answers = self.session.run(None, feed, self.shrinking if is_large(feed) else None)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(str(error) or "the machine's memory is full") from None
            raise
        return dict(zip(self.output_names, answers, strict=True))


def is_large(feed: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a micro-batch of tokens, steps or images is of a size that is rarely met."""
    return any(
        array.nbytes >= LARGE_BYTES if array.ndim == 4 else array.ndim > 1 and array.shape[0] * array.shape[1] >= LARGE
        for array in feed.values()
    )


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
        RuntimeUnavailable: a device was asked for and its provider is not installed.
    """
    if device == "auto":
        return "cuda" if PROVIDERS["cuda"] in providers else "cpu"
    if device not in PROVIDERS or PROVIDERS[device] not in providers:
        raise RuntimeUnavailable(
            "onnx",
            why=f"--device {device} needs onnxruntime-gpu and its {PROVIDERS.get(device, 'own')} provider",
            available=["--device cpu"],
        )
    return device


def providers_of(device: str) -> list[Any]:
    """A device's execution providers: what the first does not compute goes to the next."""
    cpu, cuda = PROVIDERS["cpu"], PROVIDERS["cuda"]
    if device == "tensorrt":
        cache = cache_home() / "tensorrt"
        cache.mkdir(parents=True, exist_ok=True)
        engines = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
        return [(PROVIDERS["tensorrt"], engines), cuda, cpu]
    return [cuda, cpu] if device == "cuda" else [cpu]
