"""The rate of matrix products: a real product, measured once and remembered for this host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from models.matmul import known_rate, matmul_rate, product_graph


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


def test_the_graph_that_is_written_by_hand_is_a_sound_one_and_multiplies() -> None:
    onnx.checker.check_model(onnx.load_from_string(product_graph()), full_check=True)
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), dtype=np.float32)
    session = ort.InferenceSession(product_graph(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"a": a, "b": b})
    assert np.array_equal(answer, a @ b)


def test_what_was_measured_is_known_from_then_on_and_never_becomes_less() -> None:
    assert known_rate(1) is None
    found = matmul_rate(1)
    assert found > 0.1
    assert known_rate(1) == pytest.approx(found, abs=0.01)
    assert known_rate(2) is None, "each number of threads has a rate of its own"
    assert matmul_rate(1) >= found - 0.01


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"gflop_per_s": "fast"}'])
def test_a_damaged_record_is_measured_again(tmp_path: Path, content: str) -> None:
    matmul_rate(1)
    (file,) = (tmp_path / "measured").rglob("matmul/*.json")
    file.write_text(content)
    assert known_rate(1) is None
    assert matmul_rate(1) > 0.1
