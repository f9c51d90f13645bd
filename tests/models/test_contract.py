"""The contract: every family on every runtime keeps it, and the check names what a broken model breaks."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from models import zoo
from models.artifact import record_digest
from models.compare import answer_distance
from models.contract import CHECKS, Promise, check_contract
from models.detect import detect_spec
from models.load import load_model
from models.model import Model, OnLong, Options
from models.spec import write_spec
from tests.models import own_model

ZOO = Path(zoo.__file__).parent

ORDER = "answers in the order of the rows"
ALONE = "a row is answered the same alone as among others"
AGAIN = "a second call gives the same answers"
ARROW = "an Arrow column is answered as a list"
COUNT = "one answer for each row"
SCHEMA = "the declared schema"
EMPTY = "no rows are answered with no rows"
FINITE = "good rows have a whole and finite answer"
BAD = "nulls and values of the wrong type become error rows"
NEIGHBOURS = "a bad row leaves its neighbours as they are"


def broken(model: Model) -> dict[str, str]:
    """Promise -> what was found, of those that were not kept."""
    promises = check_contract(model)
    assert [promise.name for promise in promises] == list(CHECKS)
    return {promise.name: promise.found for promise in promises if not promise.kept}


def load_unexported(folder: Path) -> Model:
    """A Hugging Face folder as torch runs it, without an export."""
    write_spec(detect_spec(folder, name=folder.name), folder)
    record_digest(folder)
    return load_model(str(folder), runtime="torch", threads=1)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
@pytest.mark.parametrize("name", ["bbc-bert", "fashion-resnet", "vowels-bilstm", "language-bigru"])
def test_every_family_keeps_the_contract_on_every_runtime(name: str, runtime: str) -> None:
    assert broken(load_model(str(ZOO / name), runtime=runtime, threads=1)) == {}


WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "bentoml", "onnx", "safetensors"):
    sys.modules[name] = None
from models.contract import check_contract
from models.detect import detect_spec
from models.load import load_model
for folder in sys.argv[1:]:
    print([promise for promise in check_contract(load_model(folder, threads=1)) if not promise.kept])
"""


def test_onnx_runtime_keeps_the_contract_where_torch_cannot_be_imported() -> None:
    folders = [str(ZOO / name) for name in ("bbc-bert", "fashion-resnet", "vowels-bilstm", "language-bigru")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, *folders], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("[]\n" * 4, "")


@pytest.mark.parametrize("on_long", ["error", "chunk"])
@pytest.mark.parametrize("name", ["bbc-bert", "language-bigru"])
def test_long_texts_are_answered_alike_alone_and_among_others(name: str, on_long: OnLong) -> None:
    model = load_model(str(ZOO / name), options=Options(on_long=on_long), threads=1)
    assert broken(model) == {}


def test_embeddings_keep_the_contract(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(ZOO / "bbc-bert")
    source = tmp_path / "embedder"
    transformers.BertModel(config).save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).write_bytes((ZOO / "bbc-bert" / name).read_bytes())
    model = load_unexported(source)
    assert model.spec.task == "text-embedding"
    assert broken(model) == {}


def test_image_transformers_keep_the_contract(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "bird"},
    )  # fmt: skip
    source = tmp_path / "vit"
    transformers.ViTForImageClassification(config).save_pretrained(source)
    (source / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}', encoding="utf-8"
    )
    model = load_unexported(source)
    assert model.spec.family == "transformer"
    assert broken(model) == {}


def test_operators_own_class_keeps_the_contract() -> None:
    model = load_model("tests.models.own_model:SentimentModel")
    assert broken(model) == {}
    assert model.predict(["a wonderful film", "boring"])[1]["label"] == "negative"


@pytest.mark.parametrize(
    ("name", "promises", "found"),
    [
        ("ShufflingModel", {ORDER, NEIGHBOURS}, "row 0 got the answer of row"),
        ("DroppingModel", {BAD, NEIGHBOURS}, "0 answers to null alone of 1 rows"),
        ("SwallowingModel", set(CHECKS) - {EMPTY, BAD}, "PredictionMismatch"),
        ("RaisingModel", {BAD, NEIGHBOURS}, "null alone raised AttributeError: 'NoneType' object has no attribute"),
        ("GuessingModel", {BAD}, "null is answered as if it were a good row"),
        ("MoodyModel", {ALONE, AGAIN, ARROW, NEIGHBOURS}, "on the second call: answers differ by"),
        ("NarrowModel", {SCHEMA, EMPTY, BAD}, "declared is label string, score float"),
        ("EmptyHandedModel", {EMPTY}, "an empty list raised IndexError: list index out of range"),
        ("ListsOnlyModel", {ARROW}, "one is an error or another label"),
        ("NotANumberModel", {FINITE}, "row 0 has nan in score"),
        ("ContagiousModel", {NEIGHBOURS}, "row 0 alone and among bad rows: one is an error"),
    ],
)
def test_broken_class_is_named_for_the_promise_that_it_breaks(name: str, promises: set[str], found: str) -> None:
    problems = broken(getattr(own_model, name)())
    assert set(problems) == promises
    assert any(found in problem for problem in problems.values()), problems


def test_answers_that_depend_on_batch_mates_are_named() -> None:
    """Which promises break beside this one is by how the planner cuts the rows, and so by what calls took."""
    assert "the tolerance is 0.0001" in broken(own_model.BatchMateModel())[ALONE]


def test_no_sample_that_is_answered_breaks_the_contract() -> None:
    promises = {p.name: p for p in check_contract(own_model.SentimentModel(), [1, 2, 3])}
    assert not promises[FINITE].kept
    assert promises[FINITE].found == "no sample row was answered; row 0: WrongType: expected text, found int"
    nothing: list[Promise] = check_contract(own_model.SentimentModel(), [])
    assert nothing[0] == Promise(name=COUNT, kept=False, found="no sample rows, so nothing could be tried")


def test_answers_are_as_far_apart_as_their_numbers() -> None:
    answer = {"label": "a", "score": 0.5004, "scores": [("a", 0.5004), ("b", 0.4996)], "error": None}
    swapped = {"label": "b", "score": 0.5002, "scores": [("b", 0.5002), ("a", 0.4998)], "error": None}
    assert answer_distance(answer, swapped) == pytest.approx(6e-4)
    assert answer_distance(answer, answer | {"label": "b"}) == pytest.approx(4e-4)
    assert answer_distance(answer, answer | {"score": float("nan")}) == math.inf
    assert answer_distance(answer, answer | {"error": {"class": "NullValue"}}) == math.inf
    assert answer_distance({"embedding": [1.0, 2.0]}, {"embedding": [1.0, 2.25]}) == 0.25
    assert answer_distance({"embedding": [1.0, 2.0]}, {"embedding": [1.0]}) == math.inf
    assert answer_distance({"n": 1.0}, {"m": 1.0}) == math.inf


def test_a_score_that_fell_out_of_the_best_few_is_as_far_as_it_was_above_the_least() -> None:
    one = {"scores": [("a", 0.6), ("b", 0.2001)]}
    other = {"scores": [("a", 0.6), ("c", 0.2)]}
    assert answer_distance(one, other) == pytest.approx(1e-4)
