"""The `openvino` runtime: OpenVINO on the CPU, in parallel streams."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import OutOfMemory, RuntimeUnavailable
from models.runtimes.memory import is_out_of_memory
from models.runtimes.primitive_cache import turn_off_primitive_cache
from models.runtimes.signal_stack import kept_signal_stack
from models.runtimes.threads import share_threads

#: OpenVINO 2026.4 answers wrongly, without a word, where these get rows of several lengths.
RECURRENT = frozenset({"GRUSequence", "LSTMSequence", "RNNSequence"})
#: What the arithmetic is done in, of a graph at a precision. Int8 layers are int8 in the graph; the rest of it is fp32.
HINTS: Mapping[str, str] = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}


class OpenVinoRuntime:
    """One graph as a Runtime: OpenVINO's own (model.xml and model.bin) or an ONNX file.

    May be called from several threads: each call takes an infer request of its own out of a pool, and the arithmetic
    runs outside the GIL, as many calls at once as there are streams.
    """

    name = "openvino"
    #: A shape that is new to it costs some 8 ms (MiniLM): with multiples of 8 a first window took a third less time.
    length_step = 8
    device = "cpu"

    def __init__(
        self,
        path: Path,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        streams: int | None = None,
        device: str = "auto",
    ) -> None:
        """Load and compile the graph. The weights are mapped from the file, not read.

        Args:
            path: model.xml with model.bin beside it, or an .onnx file.
            precision: `fp32`, `int8` (of a graph that is quantised), or `bf16` where the processor has it.
            threads: of the arithmetic; None takes OMP_NUM_THREADS, else all cores that this process may use.
            streams: calls that share these threads; None gives each call one.
            device: `cpu` or `auto`.

        Raises:
            RuntimeUnavailable: no such file, no graph, or a device or precision that this host does not have.
        """
        if device not in ("auto", "cpu"):
            raise RuntimeUnavailable("openvino", why="it runs on the CPU only here", available=["--device cpu"])
        if not path.is_file():
            raise RuntimeUnavailable("openvino", why=f"{path} does not exist", available=["onnx"])
        self.precision = precision
        self.threads, self.streams = share_threads(threads, streams)
        check_precision(precision, abilities())
        self.path = path
        compiled, kinds = self._compile()
        self.pads = not kinds & RECURRENT
        self.input_types = {port.get_any_name(): port.element_type.to_dtype() for port in compiled.inputs}
        self.input_shapes = {port.get_any_name(): read_shape(port) for port in compiled.inputs}
        self.input_names = tuple(self.input_types)
        self.output_names = tuple(port.get_any_name() for port in compiled.outputs)
        self.compiled: Any = compiled
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    @kept_signal_stack()
    def _compile(self, *, first: bool = True) -> tuple[Any, set[str]]:
        """The graph ready to run, and the kinds of its operations.

        Raises:
            RuntimeUnavailable: it does not load.
            OutOfMemory: it was ready before, and for now there is no memory to make it so again.
        """
        import openvino as ov

        core = ov.Core()
        core.set_property({"ENABLE_MMAP": True})
        settings = {
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            # Two processes that pin their threads would pin them to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            turn_off_primitive_cache()
            graph = core.read_model(self.path)
            kinds = {str(node.get_type_name()) for node in graph.get_ops()}
            return core.compile_model(graph, "CPU", settings), kinds
        except (RuntimeError, MemoryError) as error:
            if not first and is_out_of_memory(error):
                raise OutOfMemory(last_sentence(error)) from None
            raise RuntimeUnavailable("openvino", why=f"{self.path} does not load ({last_sentence(error)})") from None

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run one micro-batch; see Runtime. Inputs that the graph does not take are left out."""
        if any(len(array) == 0 for array in inputs.values()):
            raise ValueError("a micro-batch has at least one row, found none")
        if not self.pads:
            refuse_ragged(inputs)
        feed = {
            name: np.ascontiguousarray(array, dtype=self.input_types[name])
            for name, array in inputs.items()
            if name in self.input_types
        }
        with self._lock:
            if self.compiled is None:
                self.compiled, _ = self._compile(first=False)
            compiled = self.compiled
            request = self._idle.pop() if self._idle else None
        try:
            request = request or compiled.create_infer_request()
            # Inputs are copied: a request that shares them holds objects of Python in threads of its own, and of
            # fourteen runs of 12,000 such calls from two threads two hung, the GIL held. Nor `infer`: where memory runs
            # out it keeps silent, and leaves the last call's answers in place (OpenVINO 2026.4).
            request.start_async(feed, share_inputs=False)
            request.wait()
            # The request's memory is the next caller's: what is returned is a copy.
            answers = {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.output_names)}
        except (RuntimeError, MemoryError) as error:
            self._give_up(compiled)
            compiled = request = None  # or the error's traceback would keep both, and their memory
            if is_out_of_memory(error):
                raise OutOfMemory(last_sentence(error)) from None
            raise
        with self._lock:
            if compiled is self.compiled:
                self._idle.append(request)
        return answers

    def _give_up(self, failed: Any) -> None:
        """Have the graph compiled anew at the next call: after any failure in it, whether of memory or of a row,
        OpenVINO 2026.4 refuses shapes that it answered before. Calls that are on their way there come to their end.
        """
        with self._lock:
            if failed is self.compiled:
                self.compiled, self._idle = None, []


@kept_signal_stack()
def abilities() -> list[str]:
    """What OpenVINO's CPU plugin computes in on this processor."""
    import openvino as ov

    found: list[str] = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def check_precision(precision: str, capabilities: list[str]) -> None:
    """Whether OpenVINO's CPU plugin computes at a precision on this processor.

    Raises:
        RuntimeUnavailable: it does not, or there is no such precision for it.
    """
    if precision not in HINTS:
        raise RuntimeUnavailable("openvino", why=f"it has no precision {precision!r} here", available=sorted(HINTS))
    if precision == "bf16" and "BF16" not in capabilities:
        raise RuntimeUnavailable(
            "openvino", why="this processor has no bf16 arithmetic", available=["--precision fp32", "--precision int8"]
        )


def refuse_ragged(inputs: Mapping[str, NDArray[Any]]) -> None:
    """A recurrent network gets rows of one length; the window parts those of several.

    Raises:
        ValueError: they are of several.
    """
    lengths = inputs.get("lengths")
    if lengths is None:
        return
    steps = {array.shape[1] for array in inputs.values() if array.ndim > 1}
    if len(found := {int(length) for length in lengths} | steps) > 1:
        raise ValueError(f"recurrent networks run on OpenVINO in rows of one length, found {sorted(found)[:5]}")


def read_shape(port: Any) -> tuple[int | None, ...]:
    """The shape of an input, None for each free axis."""
    return tuple(axis.get_length() if axis.is_static else None for axis in port.partial_shape)


def last_sentence(error: Exception) -> str:
    """OpenVINO's messages begin with its own source files; what is wrong comes last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
