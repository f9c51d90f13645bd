"""What every runtime promises: arrays in, arrays out, whoever calls and from how many threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import zoo
from models.errors import RuntimeUnavailable
from models.load import build_runtime
from models.runtimes.onnx_runtime import is_large
from models.runtimes.open_vino import OpenVinoRuntime, check_precision
from models.runtimes.runtime import Runtime
from models.runtimes.threads import share_threads
from models.spec import read_spec

ZOO = Path(zoo.__file__).parent
Inputs = Mapping[str, NDArray[Any]]


def onnx(folder: Path) -> Runtime:
    return build_runtime(folder, read_spec(folder), runtime="onnx", threads=2)


def torch(folder: Path) -> Runtime:
    return build_runtime(folder, read_spec(folder), runtime="torch", threads=1)


def openvino(folder: Path) -> Runtime:
    return OpenVinoRuntime(folder / "model.onnx", threads=2)


def torch_bf16(folder: Path) -> Runtime:
    return build_runtime(folder, read_spec(folder), runtime="torch", precision="bf16", threads=1)


def torch_fp16(folder: Path) -> Runtime:
    return build_runtime(folder, read_spec(folder), runtime="torch", precision="fp16", threads=1)


RUNTIMES = [onnx, openvino, torch]
LOWER = [(torch_bf16, 0.2), (torch_fp16, 0.02)]
MODELS = ["bbc-bert", "fashion-resnet", "language-bigru", "vowels-bilstm"]


def inputs_of(model: str, rows: int = 4, length: int = 9) -> Inputs:
    """Rows of one length, the same at every call."""
    random = np.random.default_rng(rows * 100 + length)
    if model == "bbc-bert":
        ids = random.integers(5, 900, (rows, length))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    if model == "fashion-resnet":
        return {"pixel_values": random.standard_normal((rows, 1, 28, 28)).astype(np.float32)}
    if model == "language-bigru":
        return {"inputs": random.integers(1, 60, (rows, length)), "lengths": np.full(rows, length)}
    numbers = random.standard_normal((rows, length, 12)).astype(np.float32)
    return {"inputs": numbers, "lengths": np.full(rows, length)}


@pytest.fixture(scope="module")
def reference() -> Callable[[str], Runtime]:
    made = {name: onnx(ZOO / name) for name in MODELS}
    return made.__getitem__


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("name", MODELS)
def test_a_runtime_answers_as_the_reference_does_in_float32_arrays_of_its_own(
    name: str, make: Callable[[Path], Runtime], reference: Callable[[str], Runtime]
) -> None:
    runtime = make(ZOO / name)
    first = runtime.forward({**inputs_of(name), "nobody_takes_this": np.ones(4)})["logits"]
    kept = first.copy()
    runtime.forward(inputs_of(name, rows=4, length=7))
    np.testing.assert_array_equal(first, kept, "a later call wrote over an answer that was given")
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, reference(name).forward(inputs_of(name))["logits"], atol=1e-4)
    assert runtime.device == "cpu"
    assert runtime.precision == "fp32"


@pytest.mark.parametrize(("make", "largest"), LOWER)
@pytest.mark.parametrize("name", MODELS)
def test_torch_computes_in_half_the_bits_and_answers_in_float32(
    name: str, make: Callable[[Path], Runtime], largest: float, reference: Callable[[str], Runtime]
) -> None:
    runtime = make(ZOO / name)
    answer = runtime.forward(inputs_of(name))["logits"]
    difference = np.abs(answer - reference(name).forward(inputs_of(name))["logits"]).max()
    assert answer.dtype == np.float32
    assert 1e-5 < difference < largest, "as near as fp32 would mean that it is fp32"


def test_a_transformer_attends_by_scaled_dot_products() -> None:
    runtime: Any = torch(ZOO / "bbc-bert")
    assert runtime.module.body.config._attn_implementation == "sdpa"


def test_only_torch_compiles() -> None:
    folder = ZOO / "vowels-bilstm"
    with pytest.raises(RuntimeUnavailable, match=r"only torch compiles \(--compile\)"):
        build_runtime(folder, read_spec(folder), runtime="onnx", compiled=True)


@pytest.mark.parametrize("make", RUNTIMES)
def test_calls_from_several_threads_at_once_get_their_own_answers(make: Callable[[Path], Runtime]) -> None:
    runtime = make(ZOO / "bbc-bert")
    work = [inputs_of("bbc-bert", rows=1 + number % 5, length=3 + number) for number in range(24)]
    alone = [runtime.forward(inputs)["logits"] for inputs in work]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda inputs: runtime.forward(inputs)["logits"], work))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("name", MODELS)
def test_a_micro_batch_without_rows_is_refused(name: str, make: Callable[[Path], Runtime]) -> None:
    nothing = {key: array[:0] for key, array in inputs_of(name).items()}
    with pytest.raises(ValueError, match="at least one row"):
        make(ZOO / name).forward(nothing)


@pytest.mark.parametrize("name", ["language-bigru", "vowels-bilstm"])
def test_openvino_is_wrong_for_padded_recurrent_rows_and_so_never_gets_them(
    name: str, reference: Callable[[str], Runtime]
) -> None:
    runtime = openvino(ZOO / name)
    assert isinstance(runtime, OpenVinoRuntime)
    assert not runtime.pads
    ragged = {**inputs_of(name), "lengths": np.array([9, 5, 3, 2])}
    with pytest.raises(ValueError, match=r"rows of one length, found \[2, 3, 5, 9\]"):
        runtime.forward(ragged)
    wrong = runtime.compiled(ragged)[0]  # OpenVINO itself, past what guards it
    right = reference(name).forward(ragged)["logits"]
    np.testing.assert_allclose(wrong[0], right[0], atol=1e-4)
    assert np.abs(wrong[1:] - right[1:]).max() > 0.01, "OpenVINO got it right: the rule is not needed any more"


def test_after_a_failed_call_openvino_answers_what_it_answered_before() -> None:
    runtime = openvino(ZOO / "bbc-bert")
    before = runtime.forward(inputs_of("bbc-bert"))["logits"]
    bad = {**inputs_of("bbc-bert", rows=3, length=7), "attention_mask": np.ones((3, 9), np.int64)}
    with pytest.raises(RuntimeError, match="mismatch"):
        runtime.forward(bad)
    np.testing.assert_array_equal(runtime.forward(inputs_of("bbc-bert"))["logits"], before)


def test_openvino_holds_nothing_of_its_callers_after_a_call() -> None:
    runtime = OpenVinoRuntime(ZOO / "bbc-bert/model.onnx", threads=1)
    inputs = {name: np.array(array, dtype=np.int64) for name, array in inputs_of("bbc-bert").items()}
    held = [weakref.ref(array) for array in inputs.values()]
    runtime.forward(inputs)
    inputs.clear()
    gc.collect()
    assert [reference() for reference in held] == [None] * len(held)


_TWICE = """
import sys
from pathlib import Path
import numpy as np
from models.runtimes.open_vino import OpenVinoRuntime

for _ in range(2):
    OpenVinoRuntime(Path(sys.argv[1]), threads=1).forward({"pixel_values": np.ones((2, 1, 28, 28), np.float32)})
"""


def test_no_stream_of_openvino_is_given_what_was_compiled_for_another() -> None:
    """Two that needed it at once for the first time were seen to answer otherwise."""
    ended = subprocess.run(
        [sys.executable, "-c", _TWICE, str(ZOO / "fashion-resnet/model.onnx")],
        cwd=ZOO.parents[1], env=os.environ | {"ONEDNN_VERBOSE": "profile_create"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "create:cache_miss" in ended.stdout
    assert "create:cache_hit" not in ended.stdout


_SIGNALLED = """
import signal, sys
from pathlib import Path
import numpy as np
from models.runtimes.open_vino import OpenVinoRuntime

ones = {name: np.ones((2, 8), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
runtimes = [OpenVinoRuntime(Path(sys.argv[1]), threads=streams, streams=streams) for streams in (1, 2)]
for runtime in runtimes:
    runtime.forward(ones)
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
while runtimes:
    signal.raise_signal(signal.SIGTERM)
    del runtime
    runtime = runtimes.pop()
del runtime
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_is_heard_while_openvino_is_there_and_when_it_has_gone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SIGNALLED, str(ZOO / "bbc-bert/model.onnx")],
        cwd=ZOO.parents[1], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "heard\n" * 3), ended.stderr


_SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from models.errors import OutOfMemory
from models.runtimes.open_vino import OpenVinoRuntime

def ones(rows, length):
    return {name: np.ones((rows, length), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}

runtime = OpenVinoRuntime(Path(sys.argv[1]), threads=1)
before = runtime.forward(ones(2, 8))["logits"]
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 400 * 2**20,) * 2)
try:
    runtime.forward(ones(512, 512))
except OutOfMemory as error:
    assert (runtime.forward(ones(2, 8))["logits"] == before).all()
    print("halve it:", error)
"""


def test_openvino_says_that_memory_ran_out_and_goes_on() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SHORT_OF_MEMORY, str(ZOO / "bbc-bert/model.onnx")],
        cwd=ZOO.parents[1], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.stdout.startswith("halve it: Failed to allocate"), ended.stderr


_NO_MEMORY_TO_COMPILE = """
import resource, sys
from pathlib import Path
import numpy as np
from models.errors import OutOfMemory
from models.runtimes.open_vino import OpenVinoRuntime

def inputs(rows, length, mask):
    mask = np.ones((rows, mask), np.int64)
    return {"input_ids": np.ones((rows, length), np.int64), "token_type_ids": mask[:, :length], "attention_mask": mask}

runtime = OpenVinoRuntime(Path(sys.argv[1]), threads=1)
before = runtime.forward(inputs(2, 8, 8))["logits"]
try:
    runtime.forward(inputs(3, 7, 9))  # a row at fault: the graph is compiled anew at the next call
except RuntimeError:
    pass
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
everything = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]), everything[1]))
try:
    runtime.forward(inputs(2, 8, 8))
except OutOfMemory as error:
    resource.setrlimit(resource.RLIMIT_AS, everything)
    assert (runtime.forward(inputs(2, 8, 8))["logits"] == before).all()
    print("later:", error)
"""


@pytest.mark.parametrize("left", [1 << 18, 1 << 20])  # with nothing left the loader may end the process
def test_openvino_that_finds_no_memory_to_compile_anew_says_so_and_goes_on_later(left: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _NO_MEMORY_TO_COMPILE, str(ZOO / "bbc-bert/model.onnx"), str(left)],
        cwd=ZOO.parents[1], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.stdout.startswith("later:"), ended.stderr


@pytest.mark.parametrize(
    ("shape", "large"),
    [
        ((64,), False), ((64, 100), False), ((64, 128), True), ((64, 128, 12), True),
        ((4, 3, 224, 224), False), ((256, 1, 28, 28), False), ((16, 3, 224, 224), True), ((1, 3, 1024, 1024), True),
    ],
)  # fmt: skip
def test_the_arena_gives_back_what_a_micro_batch_of_rare_size_took(shape: tuple[int, ...], large: bool) -> None:
    assert is_large({"inputs": np.zeros(shape, np.float32)}) is large


@pytest.mark.parametrize(("threads", "streams", "shared"), [(4, None, (4, 4)), (4, 2, (4, 2)), (2, 8, (2, 2))])
def test_threads_are_shared_out_among_calls(threads: int, streams: int | None, shared: tuple[int, int]) -> None:
    assert share_threads(threads, streams) == shared


def test_threads_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert share_threads(None, None) == (3, 3)


def test_streams_and_threads_reach_the_library() -> None:
    found = OpenVinoRuntime(ZOO / "vowels-bilstm/model.onnx", threads=2, streams=2)
    assert (found.threads, found.streams) == (2, 2)
    assert found.compiled.get_property("NUM_STREAMS") == 2
    assert found.compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert found.compiled.get_property("ENABLE_CPU_PINNING") is False


def test_what_openvino_does_not_have_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="this processor has no bf16 arithmetic"):
        check_precision("bf16", ["FP32", "INT8"])
    with pytest.raises(RuntimeUnavailable, match="no precision 'fp16'"):
        check_precision("fp16", ["FP32"])
    with pytest.raises(RuntimeUnavailable, match="on the CPU only"):
        OpenVinoRuntime(ZOO / "bbc-bert/model.onnx", device="cuda")
    with pytest.raises(RuntimeUnavailable, match="does not exist"):
        OpenVinoRuntime(tmp_path / "model.xml")
    (tmp_path / "model.xml").write_text("<net")
    with pytest.raises(RuntimeUnavailable, match="does not load") as error:
        OpenVinoRuntime(tmp_path / "model.xml")
    assert "\n" not in str(error.value)
