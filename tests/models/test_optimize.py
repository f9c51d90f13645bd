"""`tandem model optimize`: a variant is made, measured, and registered whole, or refused and nowhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.add import add_model
from models.artifact import verify_digest
from models.errors import RuntimeUnavailable, SpecInvalid, VariantRefused
from models.load import describe_model, load_model
from models.optimize import judge, optimize_model
from models.parity.agreement import Agreement
from models.quantize import make_graph
from models.side_by_side import SideBySide, measure_side_by_side
from models.variants import list_variants, verify_variant
from tests.batch.command import Ended, tandem
from tests.models.made_variants import copy_made, copy_model, made, optimize, rows_of, scores

MADE = [
    ("bbc-bert", "openvino", "fp32"),
    ("bbc-bert", "openvino", "int8"),
    ("bbc-bert", "onnx", "int8"),
    ("fashion-resnet", "openvino", "int8"),
    ("fashion-resnet", "onnx", "int8"),
    ("vowels-bilstm", "openvino", "fp32"),
    ("language-bigru", "openvino", "fp32"),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store and a cache of the test's own."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


@pytest.mark.parametrize(("name", "runtime", "precision"), MADE)
def test_a_variant_answers_alike_and_leaves_the_models_digest_as_it_is(name: str, runtime: str, precision: str) -> None:
    folder = made(name, runtime, precision)
    described = describe_model(str(folder))
    variant = described.variants[f"{runtime}-{precision}"]
    verify_variant(variant)
    assert described.digest == verify_digest(folder)
    assert len({one.digest for one in described.variants.values()}) == len(described.variants)
    rows = [*rows_of(name, 12), None]
    found = load_model(described, variant=variant, threads=1)
    assert (found.variant, found.digest) == (variant.name, described.digest)
    reference = load_model(str(folder), runtime="onnx", precision="fp32", threads=1)
    measured = measure_side_by_side(reference, found, rows).agreement
    assert measured.rows == 13
    assert measured.faults_differ == 0
    if precision == "fp32":
        assert measured.largest <= described.spec.tolerance
    else:
        # Other arithmetic: no difference at all would mean that one runtime was asked twice.
        assert 0 < measured.largest < 0.6
        assert measured.mean < 0.1


def test_what_was_measured_is_recorded(tmp_path: Path) -> None:
    folder = copy_model("bbc-bert", tmp_path)
    told: list[SideBySide] = []
    done = optimize(folder, "openvino", "fp32", on_measured=told.append)
    record = json.loads((folder / "variants/openvino-fp32/variant.json").read_text())
    assert record["model"] == describe_model(str(folder)).digest
    assert record["made"]["rows_from"] == "the tests"
    assert record["measured"]["rows"] == 20, "the rows that were held out"
    assert record["measured"]["largest"] == told[0].agreement.largest <= record["tolerance"] == 1e-4
    assert set(record["measured"]["compositions"]) == {"as planned", "alone", "in pairs", "together"}
    assert record["measured"]["rows_per_s"] == round(done.measured.rows_per_s, 2) > 0
    assert done.variant == describe_model(str(folder)).variants["openvino-fp32"]


def test_a_variant_outside_the_tolerance_is_nowhere_and_a_wider_one_is_written_down(tmp_path: Path) -> None:
    folder = copy_model("fashion-resnet", tmp_path)
    with pytest.raises(VariantRefused, match=r"openvino-int8 was not registered: its mean loss .* tolerance 1e-09"):
        optimize(folder, "openvino", "int8", tolerance=1e-9)
    assert list((folder / "variants").iterdir()) == []
    assert optimize(folder, "openvino", "int8", tolerance=0.5).tolerance == 0.5
    assert describe_model(str(folder)).variants["openvino-int8"].tolerance == 0.5


def test_made_again_it_takes_the_place_of_the_first(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    (folder / "variants/openvino-fp32/model.bin").write_bytes(b"damaged")
    done = optimize(folder, "openvino", "fp32")
    assert done.variant == describe_model(str(folder)).variants["openvino-fp32"]
    variants = {path.name: path for path in (folder / "variants").iterdir()}
    assert sorted(variants) == ["onnx-fp32", "openvino-fp32"]
    assert [path.name for path in variants["onnx-fp32"].iterdir()] == ["costs.json"], "the reference was timed too"
    load_model(str(folder), runtime="openvino", threads=1)


def test_what_nothing_makes_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"no variant of it is made in bf16.*--runtime openvino"):
        optimize(copy_model("bbc-bert", tmp_path), "onnx", "bf16")


def test_a_folder_that_takes_no_variant_is_named(tmp_path: Path) -> None:
    folder = copy_model("vowels-bilstm", tmp_path)
    (folder / "variants").write_text("a file")
    with pytest.raises(SpecInvalid, match=r"vowels-bilstm: cannot hold a variant \(File exists\)"):
        optimize(folder, "openvino", "fp32")


def test_rows_that_the_model_cannot_answer_calibrate_nothing(tmp_path: Path) -> None:
    folder = copy_model("bbc-bert", tmp_path)
    with pytest.raises(SpecInvalid, match=r"holds no rows that bbc-bert:.* can answer"):
        optimize_model(
            str(folder), runtime="openvino", precision="fp32", calibration=[None, 3], held_out=[None],
            rows_from="rows.parquet",
        )  # fmt: skip


def test_a_damaged_scale_is_measured_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are off by a factor load well and answer wrongly: only the measurement tells."""

    def damage(*args: Any, **named: Any) -> dict[str, Any]:
        made = make_graph(*args, **named)
        path = args[2] / "model.bin"
        content = bytearray(path.read_bytes())
        content[-4000:] = bytes(4000)
        path.write_bytes(bytes(content))
        return made

    monkeypatch.setattr("models.optimize.make_graph", damage)
    folder = copy_model("bbc-bert", tmp_path)
    with pytest.raises(VariantRefused, match="largest difference"):
        optimize(folder, "openvino", "fp32")
    assert list((folder / "variants").iterdir()) == []


ROWS_AMONG: dict[str, Any] = {"rows": 12, "largest": 0.3, "error": 0.001}


@pytest.mark.parametrize(
    ("worse", "refused"),
    [
        ({"mean": 0.05, "labels_agree": 1.0}, True),
        ({"mean": 0.001, "labels_agree": 0.5}, True),
        ({"mean": 0.001, "cosine_mean": 0.9}, True),
        ({"mean": 0.001, "labels_agree": 1.0, "faults_differ": 1}, True),
        # One label of twelve rows, the worst of all among them, is what chance makes of one in a hundred.
        ({"mean": 0.001, "labels_agree": 11 / 12}, False),
    ],
)
def test_int8_that_answers_otherwise_among_other_batch_mates_is_refused(worse: dict[str, Any], refused: bool) -> None:
    described = describe_model(str(made("bbc-bert", "openvino", "int8")))
    variant = replace(described.variants["openvino-int8"], tolerance=0.01)
    good = Agreement(rows=200, largest=0.3, mean=0.001, labels_agree=0.995)
    measured = SideBySide(
        agreement=good,
        compositions={"as planned": good, "alone": Agreement(**ROWS_AMONG, **worse)},
        rows_per_s=1.0,
        reference_rows_per_s=1.0,
    )
    if not refused:
        judge(described, variant, measured)
        return
    with pytest.raises(VariantRefused, match="its mean loss, with its batch-mates alone, from the reference's answers"):
        judge(described, variant, measured)


def command(*words: str | Path, home: Path) -> Ended:
    return tandem("model", "optimize", *map(str, words), TANDEM_MEASURED=str(home / "measured"), OMP_NUM_THREADS="1")


def test_the_command_prints_a_table_and_says_what_to_do_with_what_it_made(tmp_path: Path) -> None:
    folder, source = copy_model("bbc-bert", tmp_path), tmp_path / "rows"
    source.mkdir()
    pq.write_table(pa.table({"id": range(30), "body": rows_of("bbc-bert", 30)}), source / "a.parquet")
    end = command(
        folder, "--runtime", "openvino", "--precision", "fp32", "--calibration", source, "--column", "text=body",
        "--rows", "30", home=tmp_path,
    )  # fmt: skip
    assert end.code == 0, end.err
    assert f"18 rows to calibrate, 12 to measure: {source}" in end.out
    for line in ("largest difference", "labels agree", "rows/s of the reference", "rows/s of openvino-fp32"):
        assert line in end.out
    # What is said follows what was recorded, whatever this machine measured.
    is_slower = describe_model(str(folder)).variants["openvino-fp32"].speedup < 1
    assert (f"tandem run --model {folder} --runtime openvino" in end.out) != is_slower
    assert ("auto will not take it" in end.out) == is_slower
    shown = tandem("model", "show", str(folder))
    assert "openvino-fp32:" in shown.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--column", "body=text"], "--column: expected text=SOURCE_COLUMN, found body=text"),
        (["--column", "text=nothing"], "has no column 'nothing'; it has id, body. Name one with --column."),
    ],
)
def test_a_wrong_column_is_one_line(tmp_path: Path, words: list[str], complaint: str) -> None:
    pq.write_table(pa.table({"id": [1], "body": ["a"]}), tmp_path / "a.parquet")
    end = command(
        copy_model("bbc-bert", tmp_path), "--runtime", "openvino", "--precision", "fp32",
        "--calibration", tmp_path / "a.parquet", *words, home=tmp_path,
    )  # fmt: skip
    assert end.code == 2
    (line,) = end.err.splitlines()
    assert complaint in line


def test_sequences_of_several_lengths_are_right_on_openvino(tmp_path: Path) -> None:
    folder = made("vowels-bilstm", "openvino", "fp32")
    rows = rows_of("vowels-bilstm", 40)
    assert len({len(row) for row in rows}) > 3
    model = load_model(str(folder), runtime="openvino", threads=2)
    assert not model.pads
    right = scores(folder, rows, runtime="onnx")
    for found, expected in zip(model.predict(rows), right, strict=True):
        assert dict(found["scores"]) == pytest.approx(expected, abs=1e-4)


def test_a_variant_of_files_that_the_model_no_longer_has_is_no_variant_of_it(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    shutil.copy(folder / "accuracy.json", folder / "LICENSE")
    (folder / "digest.json").unlink()
    described = describe_model(str(folder))
    assert "openvino-fp32" not in list_variants(folder, described.spec, described.digest)


def test_a_version_without_the_variants_of_the_one_before_says_so(tmp_path: Path) -> None:
    folder = copy_model("vowels-bilstm", tmp_path)
    first = add_model(folder, name="mine")
    shutil.copytree(
        made("vowels-bilstm", "openvino", "fp32") / "variants", first.folder / "variants", dirs_exist_ok=True
    )
    assert add_model(folder, name="mine").lost == (), "it is the same version, which has it"
    spec = (folder / "tandem.yaml").read_text(encoding="utf-8")
    (folder / "tandem.yaml").write_text(f"{spec}\nsource: elsewhere\n", encoding="utf-8")
    end = tandem("model", "add", str(folder), "--name", "mine")
    assert f"  mine was {first.tag} until now, which has openvino-fp32; this one has not" in end.out, end.err
