"""The parity check: whatever a variant does otherwise than its reference is named, with a row and both values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from models.errors import ParityBroken
from models.load import load_model
from models.model import Model, Options, Values
from models.parity.agreement import Agreement
from models.parity.check import STAGES, Bound, Parity, check_parity
from models.rnn import RnnModel
from models.runtimes.open_vino import OpenVinoRuntime
from models.samples import TEXTS
from models.spec import read_spec
from tests.models import damage

DATA = damage.ZOO / "data"
EXACT = Bound(value=1e-4)
ROUGH = Bound(value=0.01, of="mean")


def texts() -> list[str | None]:
    """Short and long ones in several scripts, with capitals, one of them null."""
    words = " ".join(TEXTS).split()
    rows: list[str | None] = [" ".join(words[: 2 + 9 * number] * (1 + number // 12)) for number in range(24)]
    return [*rows, None, *TEXTS]


def values_of(name: str) -> Values:
    if name == "fashion-resnet":
        return pq.read_table(DATA / "fashion.parquet").column("image").slice(0, 24)
    if name == "vowels-bilstm":
        return pq.read_table(DATA / "vowels.parquet").column("steps").slice(0, 24)
    return pa.array(texts())


def load(folder: Path | str, *, options: Options | None = None, variant: str = "") -> Model:
    model = load_model(str(folder), runtime="onnx", options=options, threads=1)
    if variant:
        model.variant = variant
    return model


def check(name: str, folder: Path, bound: Bound = EXACT, variant: str = "", **options: Any) -> Parity:
    chosen = Options(**options)
    reference, damaged = load(name, options=chosen), load(folder, options=chosen, variant=variant)
    return check_parity(reference, damaged, values_of(name), bound=bound)


def broken(name: str, folder: Path, bound: Bound = EXACT, variant: str = "", **options: Any) -> ParityBroken:
    with pytest.raises(ParityBroken) as caught:
        check(name, folder, bound, variant, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize("name", ["bbc-bert", "language-bigru", "fashion-resnet", "vowels-bilstm"])
def test_an_equal_copy_passes_every_stage(name: str, tmp_path: Path) -> None:
    found = check(name, damage.copy_of(name, tmp_path / "copy"))
    assert found.agreement.largest <= 1e-5
    assert found.movement <= 1e-5
    account = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert account["compared"] == list(STAGES)
    assert account["compositions"] == ["as planned", "alone", "in pairs", "together"]


def test_torch_answers_as_its_export_does() -> None:
    found = check_parity(
        load("bbc-bert"), load_model("bbc-bert", runtime="torch", threads=1), values_of("bbc-bert"), bound=EXACT
    )
    assert (found.reference, found.variant) == ("onnx-fp32", "torch-fp32")
    assert found.agreement.largest < 1e-4


@pytest.mark.parametrize("on_long", ["truncate", "error", "chunk"])
def test_another_maximal_length_is_named(on_long: str, tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.edit_spec(folder, max_length=128)
    error = broken("bbc-bert", folder, on_long=on_long)
    assert (error.stage, error.cause) == ("encoding", "maximal length")
    assert "128" in error.what
    if on_long != "error":
        assert "the maximal length is 512 and 128" in error.what
    assert error.where.startswith("row ")


def test_another_maximal_length_of_sequences_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("vowels-bilstm", tmp_path / "copy")
    damage.edit_spec(folder, max_length=12)
    error = broken("vowels-bilstm", folder)
    assert (error.stage, error.cause) == ("encoding", "maximal length")
    assert "12 in the variant" in error.what


@pytest.mark.parametrize("swapped", [False, True])
def test_lower_casing_is_named(swapped: bool, tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.edit_json(folder / "tokenizer.json", lambda content: content["normalizer"].update(lowercase=False))
    models = [load("bbc-bert"), load(folder)]
    reference, variant = reversed(models) if swapped else models
    with pytest.raises(ParityBroken) as caught:
        check_parity(reference, variant, values_of("bbc-bert"), bound=EXACT)
    assert (caught.value.stage, caught.value.cause) == ("encoding", "lower-casing")
    assert caught.value.what.startswith("the variant lower-cases" if swapped else "the reference lower-cases")


def test_another_revision_of_the_tokenizer_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")

    def swap(content: Any) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["match"], vocabulary["the"] = vocabulary["the"], vocabulary["match"]

    damage.edit_json(folder / "tokenizer.json", swap)
    error = broken("bbc-bert", folder)
    assert (error.stage, error.cause, error.where) == ("encoding", "tokenizer", "row 0")
    assert "token 1 is 'the' (id " in error.what
    assert "vocabulary of 2500" in error.what


def test_a_tokenizer_with_fewer_words_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")

    def drop(content: Any) -> None:
        del content["model"]["vocab"]["match"]

    damage.edit_json(folder / "tokenizer.json", drop)
    error = broken("bbc-bert", folder)
    assert (error.stage, error.cause) == ("encoding", "tokenizer")
    assert "'match'" in error.what
    assert "of 2500" in error.what
    assert "of 2499" in error.what


@pytest.mark.parametrize(
    ("preprocess", "cause", "said"),
    [
        ({"resize": [32, 32]}, "image size", "28 x 28 pixels in the reference and 32 x 32 pixels in the variant"),
        ({"resize": [56, 56], "crop": [28, 28]}, "resize or resampling", "resize (28, 28) and (56, 56)"),
        ({"resize": [14, 14], "resample": 3, "crop": [28, 28]}, "resize or resampling", "resample 2 and 3"),
        ({"mean": [0.5]}, "normalisation", "mean (0.286,) and (0.5,)"),
        ({"std": [0.5]}, "normalisation", "0.706 x the reference's"),
        ({"rescale": None}, "normalisation", "rescale"),
        ({"mode": "RGB"}, "colours", "1 channels in the reference and 3 channels in the variant"),
    ],
)
def test_a_wrong_resize_and_a_wrong_normalisation_are_told_apart(
    preprocess: dict[str, Any], cause: str, said: str, tmp_path: Path
) -> None:
    folder = damage.copy_of("fashion-resnet", tmp_path / "copy")
    damage.edit_spec(folder, preprocess=preprocess)
    error = broken("fashion-resnet", folder)
    assert (error.stage, error.cause) == ("encoding", cause)
    assert said in error.what


def test_sequences_that_are_normalised_otherwise_are_named(tmp_path: Path) -> None:
    folder = damage.copy_of("vowels-bilstm", tmp_path / "copy")

    def shift(content: Any) -> None:
        content["normalize"]["mean"] = [number + 0.25 for number in content["normalize"]["mean"]]

    damage.edit_json(folder / "config.json", shift)
    error = broken("vowels-bilstm", folder)
    assert (error.stage, error.cause) == ("encoding", "normalisation")


def test_int8_passes_by_its_mean_and_not_by_its_largest_difference(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.quantize(folder)
    found = check("bbc-bert", folder, ROUGH, "onnx-int8")
    assert 1e-4 < found.agreement.largest < 0.2
    assert found.movement > 1e-6, "scales of each call depend on the rows of the call"
    error = broken("bbc-bert", folder, EXACT, "onnx-int8")
    assert error.stage == "arithmetic"


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_a_broken_int8_scale_is_named(factor: float, tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.quantize(folder)
    damage.spoil_scale(folder, factor=factor)
    error = broken("bbc-bert", folder, ROUGH, "onnx-int8")
    assert (error.stage, error.cause) == ("arithmetic", "int8 scale")
    assert "tolerance is 0.01" in error.what
    assert "tandem model optimize bbc-bert --runtime onnx --precision int8" in str(error)


def test_a_broken_scale_in_openvinos_graph_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "bbc-bert")
    variant = damage.make_static_int8(folder, [text for text in texts() if text], tolerance=0.1)
    rough = Bound(value=0.1, of="mean")
    sound = load_model(str(folder), runtime="openvino", precision="int8", threads=1)
    found = check_parity(load(folder), sound, values_of("bbc-bert"), bound=rough)
    assert found.variant == "openvino-int8"
    assert found.movement < 1e-5, "scales that are fixed do not depend on batch-mates"

    damage.spoil_static_scale(variant, factor=4.0)
    spoiled = load_model(str(folder), runtime="openvino", precision="int8", threads=1)
    with pytest.raises(ParityBroken, match="--runtime openvino --precision int8") as caught:
        check_parity(load(folder), spoiled, values_of("bbc-bert"), bound=rough)
    assert (caught.value.stage, caught.value.cause) == ("arithmetic", "int8 scale")
    assert "times the reference's" in caught.value.what, "all numbers are off by one factor, and it is not named"


def test_labels_in_another_order_are_named(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.edit_spec(folder, labels=["business", "politics", "entertainment", "sports", "tech"])
    error = broken("bbc-bert", folder)
    assert (error.stage, error.cause) == ("decoding", "order of labels")
    assert "label 1 is 'entertainment' in the reference and 'politics' in the variant" in error.what


def test_labels_named_otherwise_are_named(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.edit_spec(folder, labels=["business", "entertainment", "politics", "sport", "tech"])
    error = broken("bbc-bert", folder)
    assert (error.stage, error.cause) == ("decoding", "labels")
    assert "'sports' in the reference and 'sport' in the variant" in error.what


def test_lower_casing_of_a_recurrent_networks_text_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("language-bigru", tmp_path / "copy")
    lower = {"type": "Lowercase"}

    def fold(content: Any) -> None:
        before = [content["normalizer"]] if content["normalizer"] else []
        content["normalizer"] = {"type": "Sequence", "normalizers": [*before, lower]}

    def keep(content: Any) -> None:
        steps = (content["normalizer"] or {}).get("normalizers", [content["normalizer"]])
        content["normalizer"] = {"type": "Sequence", "normalizers": [step for step in steps if step and step != lower]}

    folds = "Lowercase" in json.dumps(json.loads((folder / "tokenizer.json").read_text())["normalizer"])
    damage.edit_json(folder / "tokenizer.json", keep if folds else fold)
    error = broken("language-bigru", folder)
    assert (error.stage, error.cause) == ("encoding", "lower-casing")
    assert error.what.startswith("the reference lower-cases" if folds else "the variant lower-cases")


def test_a_row_that_only_one_of_the_two_takes_is_named(tmp_path: Path) -> None:
    folder = damage.copy_of("vowels-bilstm", tmp_path / "copy")
    reference, variant = load("vowels-bilstm"), load(folder)
    row = values_of("vowels-bilstm")[0].as_py()
    variant.channels = 11  # type: ignore[attr-defined]
    with pytest.raises(ParityBroken, match=r"encoding \(row at fault\): row 0: in the reference it is taken; in the "):
        check_parity(reference, variant, [row], bound=EXACT)


def agreement(changed: int, mean: float = 0.0, error: float = 0.0) -> Agreement:
    return Agreement(rows=64, largest=0.5, mean=mean, labels_agree=1 - changed / 64, error=error)


def test_a_mean_over_a_few_rows_may_be_off_by_chance_and_no_more() -> None:
    assert ROUGH.covers(agreement(0))
    assert ROUGH.covers(agreement(2)), "2 of 64 is 3 %, and not unlikely where 1 % is tolerated"
    assert not ROUGH.covers(agreement(9))
    assert ROUGH.covers(agreement(0, mean=0.012, error=0.001))
    assert not ROUGH.covers(agreement(0, mean=0.012, error=0.0001))
    assert not Bound(value=0.4).covers(agreement(0)), "a largest difference is no mean"
    assert not ROUGH.covers(replace(agreement(0), faults_differ=1))
    vectors = Agreement(rows=64, largest=0.2, mean=0.1, cosine_mean=0.995, cosine_least=0.98)
    assert ROUGH.covers(vectors)
    assert not ROUGH.covers(replace(vectors, cosine_mean=0.98))


def test_rows_may_be_called_by_where_they_are_from(tmp_path: Path) -> None:
    folder = damage.copy_of("bbc-bert", tmp_path / "copy")
    damage.edit_spec(folder, max_length=16)
    with pytest.raises(ParityBroken, match=r"maximal length\): in/a\.parquet row 7: "):
        check_parity(load("bbc-bert"), load(folder), ["a", "b " * 40], bound=EXACT, names=["x", "in/a.parquet row 7"])


class PaddingOpenVino(OpenVinoRuntime):
    """OpenVINO as it is, past what keeps rows of several lengths from it: it answers them wrongly, without a word."""

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        feed = {name: inputs[name].astype(kind) for name, kind in self.input_types.items()}
        return dict(zip(self.output_names, map(np.array, self.compiled(feed).values()), strict=True))


@pytest.mark.parametrize("name", ["language-bigru", "vowels-bilstm"])
def test_openvinos_wrong_answers_to_padded_sequences_are_named(name: str) -> None:
    folder = damage.ZOO / name
    reference, guarded = load(name), load(name, variant="openvino-fp32")
    assert isinstance(guarded, RnnModel)
    guarded.runtime = OpenVinoRuntime(folder / "model.onnx", threads=1)
    guarded.pads = guarded.runtime.pads
    assert check_parity(reference, guarded, values_of(name), bound=EXACT).agreement.largest < 1e-4

    padding = RnnModel(folder=folder, spec=read_spec(folder), runtime=PaddingOpenVino(folder / "model.onnx", threads=1))
    padding.variant = "openvino-fp32"
    with pytest.raises(ParityBroken) as caught:
        check_parity(reference, padding, values_of(name), bound=EXACT)
    assert (caught.value.stage, caught.value.cause) == ("batch-mates", "padding or scales")
    assert "an answer of the variant moves by 0." in caught.value.what


class StumblingRuntime:
    """A runtime, one of whose calls answers another number."""

    def __init__(self, sound: Any, *, stumbles_at: int) -> None:
        self.sound, self.stumbles_at, self.calls = sound, stumbles_at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        self.calls += 1
        factor = 1.5 if self.calls == self.stumbles_at else 1.0
        return {name: array * array.dtype.type(factor) for name, array in self.sound.forward(inputs).items()}


@pytest.mark.parametrize("stumbles_at", [1, 5])
def test_an_answer_that_is_another_one_the_next_time_is_told_from_a_wrong_variant(stumbles_at: int) -> None:
    steady, unsteady = load("vowels-bilstm"), load("vowels-bilstm", variant="openvino-fp32")
    assert isinstance(unsteady, RnnModel)
    unsteady.runtime = StumblingRuntime(unsteady.runtime, stumbles_at=stumbles_at)
    with pytest.raises(ParityBroken, match="answered again, the same rows agree") as caught:
        check_parity(steady, unsteady, values_of("vowels-bilstm"), bound=EXACT)
    assert caught.value.cause == "unsteady"
    assert "optimize" not in str(caught.value), "making the variant anew would not help"
