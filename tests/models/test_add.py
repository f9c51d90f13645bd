"""A folder becomes a model in the store, or is refused in one line and leaves nothing there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file

from models import zoo
from models.add import Added, add_model
from models.artifact import verify_digest
from models.check_export import check_export, describe_inside
from models.detect import detect_spec
from models.errors import (
    ArtifactRefused,
    ContractBroken,
    DigestMismatch,
    ExportDisagrees,
    ModelError,
    ModelNotFound,
    SpecInvalid,
    UnsupportedTask,
)
from models.export import export_onnx
from models.load import load_model
from models.locate import known_tags
from models.networks.build import build_network
from models.runtimes.eager import EagerRuntime
from models.runtimes.onnx_runtime import OnnxRuntime
from models.spec import InputColumn, ModelSpec, write_spec
from tests.models import tiny_folders as tiny
from tests.models.tiny_folders import LIMIT, TEXTS, edit_json

ZOO = Path(zoo.__file__).parent


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of the test's own."""
    home = tmp_path_factory.mktemp("bentoml")
    monkeypatch.setenv("BENTOML_HOME", str(home))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    return home


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Added]:
    """A BERT folder, and what it became in a store that outlives the tests."""
    folder = tmp_path_factory.mktemp("source") / "bert"
    tiny.make_bert_classifier(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("kept")))
        return folder, add_model(folder, name="tiny-bert")


def assert_answers_as_in_torch(added: Added) -> None:
    """The export answers mixed texts as the folder's own network does, in one batch."""
    onnx_answers = load_model(str(added.folder), threads=1).predict(TEXTS)
    torch_answers = load_model(str(added.folder), runtime="torch", device="cpu").predict(TEXTS)
    for found, expected in zip(onnx_answers, torch_answers, strict=True):
        if "embedding" in expected:
            np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4)
        else:
            assert dict(found["scores"]) == pytest.approx(dict(expected["scores"]), abs=1e-4)


def test_the_stored_model_answers_as_the_original(bert: tuple[Path, Added]) -> None:
    _, added = bert
    assert (added.spec.family, added.spec.task, added.spec.max_length) == ("transformer", "text-classification", LIMIT)
    assert added.difference is not None
    assert added.difference < 1e-5
    assert_answers_as_in_torch(added)


def test_what_is_stored_is_whole_readable_and_named_by_its_digest(bert: tuple[Path, Added]) -> None:
    _, added = bert
    assert verify_digest(added.folder) == added.digest
    assert added.tag == f"tiny-bert:{added.digest[:12]}"
    names = {path.name for path in added.folder.iterdir()}
    assert {"tandem.yaml", "digest.json", "model.onnx", "model.safetensors", "tokenizer.json", "config.json"} <= names
    assert {path.stat().st_mode & 0o777 for path in added.folder.rglob("*") if path.is_file()} == {0o644}


def test_the_graph_tells_nothing_of_the_machine_that_made_it(bert: tuple[Path, Added]) -> None:
    _, added = bert
    graph = (added.folder / "model.onnx").read_bytes()
    for trace in (str(Path.cwd()), sys.prefix, "site-packages", ".py", "stack_trace"):
        assert trace.encode() not in graph, trace
    assert onnx.load(added.folder / "model.onnx").graph.input[0].type.tensor_type.shape.dim[1].dim_param == "length"


def test_the_same_content_added_again_is_the_same_version(bert: tuple[Path, Added], tmp_path: Path, home: Path) -> None:
    source, added = bert
    copy = shutil.copytree(source, tmp_path / "elsewhere")
    (copy / "README.md").write_text("is no part of the model")
    assert add_model(str(copy), name="tiny-bert").digest == added.digest
    first = sorted((path, path.stat().st_mtime_ns) for path in home.glob("models/*/*/*"))
    assert add_model(added.folder, name="tiny-bert").tag == added.tag  # an artifact is a source like any other
    assert sorted((path, path.stat().st_mtime_ns) for path in home.glob("models/*/*/*")) == first
    assert known_tags() == [added.tag]


def test_a_stored_model_answers_where_torch_cannot_be_imported(bert: tuple[Path, Added]) -> None:
    _, added = bert
    script = """
import sys
for name in ("torch", "transformers", "bentoml", "onnx", "safetensors", "huggingface_hub"):
    sys.modules[name] = None
from models.load import load_model
print([row["label"] for row in load_model(sys.argv[1]).predict(["the cat", "a dog"])])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(added.folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(
        [row["label"] for row in load_model(str(added.folder)).predict(["the cat", "a dog"])]
    )


def test_a_sentence_transformers_folder_keeps_its_steps(tmp_path: Path) -> None:
    tiny.make_sentence_transformer(tmp_path)
    shutil.rmtree(tmp_path / "3_Normalize", ignore_errors=True)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_bytes(b"for another library")
    added = add_model(tmp_path, name="sentences")
    assert (added.spec.dimension, added.spec.normalize, added.spec.max_length) == (8, True, 12)
    assert (added.folder / "2_Dense/model.safetensors").is_file()
    assert not (added.folder / "onnx").exists()
    assert_answers_as_in_torch(added)


def test_positions_behind_the_padding_token_are_exported_too(tmp_path: Path) -> None:
    tiny.make_roberta_embedder(tmp_path)
    added = add_model(tmp_path, name="roberta")
    assert added.spec.max_length == LIMIT
    assert_answers_as_in_torch(added)


def test_an_image_transformer_that_needs_plain_attention_is_exported(tmp_path: Path) -> None:
    config = transformers.SwinConfig(
        image_size=16, patch_size=2, embed_dim=8, depths=[1], num_heads=[2], window_size=4, num_labels=3
    )
    network = tiny.save_network(tmp_path, transformers.SwinForImageClassification(config))
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    added = add_model(tmp_path, name="swin")
    pixels = np.random.default_rng(7).integers(0, 255, (16, 16, 3), np.uint8)
    row = load_model(str(added.folder), threads=1).predict([pixels])[0]
    inputs = transformers.AutoImageProcessor.from_pretrained(tmp_path)(pixels, return_tensors="pt")
    with torch.no_grad():
        expected = network(**inputs).logits.softmax(dim=1)[0]
    assert dict(row["scores"]) == pytest.approx({f"LABEL_{i}": float(expected[i]) for i in range(3)}, abs=1e-4)


def test_half_precision_weights_are_answered_in_single(tmp_path: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: weight.half() for name, weight in weights.items()}, tmp_path / "model.safetensors")
    edit_json(tmp_path / "config.json", dtype="float16")
    network = build_network(tmp_path, detect_spec(tmp_path, name="half"))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_without_torch_adding_names_the_line_that_installs_it(bert: tuple[Path, Added]) -> None:
    source, _ = bert
    script = """
import sys
sys.modules["torch"] = None
from models.add import add_model
add_model(sys.argv[1], name="x")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(source)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "models.errors.MissingExtra: tandem model add needs torch" in done.stderr
    assert "pip install -c constraints.txt -e '.[torch]'" in done.stderr


def test_a_recurrent_folder_is_added(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(ZOO / "vowels-bilstm" / name, tmp_path / name)
    added = add_model(tmp_path, name="vowels")
    assert (added.spec.family, added.spec.task) == ("rnn", "sequence-classification")
    row = load_model(str(added.folder)).predict([np.zeros((7, 12))])[0]
    assert row["error"] is None


def test_the_measured_accuracy_goes_into_the_spec(tmp_path: Path) -> None:
    user_folder(tmp_path)
    tiny.write_json(tmp_path / "accuracy.json", {"metric": "accuracy", "value": 0.9, "rows": 10, "data": "ten rows"})
    accuracy = add_model(tmp_path, name="mine").spec.accuracy
    assert accuracy is not None
    assert (accuracy.value, accuracy.rows, accuracy.data) == (0.9, 10, "ten rows")
    tiny.write_json(tmp_path / "accuracy.json", {"value": "high"})
    with pytest.raises(SpecInvalid, match=r"accuracy\.json: expected value, rows and data"):
        add_model(tmp_path, name="mine")


def user_folder(folder: Path) -> Path:
    """An ONNX file of a user's own, with a tandem.yaml beside it: a linear classifier of 2 x 2 images."""
    folder.mkdir(exist_ok=True)
    weight = numpy_helper.from_array(np.asarray([[1, -1]] * 4, np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["scores"])],
        "user",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [weight],
    )
    onnx.save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "net.onnx"
    )
    spec = ModelSpec.model_validate(
        {"name": "theirs", "family": "cnn", "task": "image-classification", "labels": ["light", "dark"]}
        | {"inputs": [{"name": "photo", "kind": "image"}], "preprocess": {"mode": "L", "resize": [2, 2]}}
    )
    write_spec(spec, folder)
    return folder


@pytest.mark.parametrize("name", ["", "net.onnx"])
def test_an_onnx_file_with_a_spec_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    added = add_model(user_folder(tmp_path) / name, name="mine")
    assert (added.spec.name, added.spec.column, added.difference) == ("mine", "photo", None)
    rows = load_model(str(added.folder)).predict([np.full((2, 2), 255, np.uint8)])
    assert rows[0]["label"] == "light"


def refuse(folder: str | Path, error: type[ModelError], match: str, home: Path, *, name: str = "refused") -> None:
    with pytest.raises(error, match=match) as raised:
        add_model(folder, name=name)
    assert "\n" not in str(raised.value)
    assert not list(home.glob("models/*/*"))


def test_pickles_code_and_links_are_refused(tmp_path: Path, home: Path) -> None:
    folder = user_folder(tmp_path / "model")
    for name, why in (("pytorch_model.bin", "pickle"), ("modeling.py", "an artifact holds no code")):
        (folder / name).write_bytes(b"x")
        refuse(folder, ArtifactRefused, f"{name} is refused: .*{why}", home)
        (folder / name).unlink()
    (folder / "labels.txt").symlink_to(tmp_path)
    refuse(folder, ArtifactRefused, r"labels\.txt is refused: it is a link that leaves the folder", home)


def test_weights_that_transformers_would_make_up_are_refused(tmp_path: Path, home: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    refuse(tmp_path, SpecInvalid, r"lacks the weights classifier\.weight; they would be random", home)


def test_weights_of_another_shape_are_refused(tmp_path: Path, home: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    edit_json(tmp_path / "config.json", intermediate_size=48)
    refuse(tmp_path, SpecInvalid, "transformers cannot load it|weights of another shape", home)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path, home: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    refuse(tmp_path, SpecInvalid, f"{tmp_path}: has no weights as safetensors", home)


def test_a_network_that_looks_at_padding_is_refused(tmp_path: Path, home: Path) -> None:
    config = transformers.FNetConfig(**tiny.small(max_position_embeddings=LIMIT))
    tiny.save_network(tmp_path, transformers.FNetForSequenceClassification(config))
    tiny.save_tokenizer(tmp_path)
    refuse(tmp_path, ContractBroken, "a row is answered alike alone and among others.*looks at padding", home)


def test_a_limit_beyond_the_networks_positions_is_refused(tmp_path: Path, home: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    tiny.edit_json(tmp_path / "tokenizer_config.json", model_max_length=10**30)
    spec = detect_spec(tmp_path, name="x").model_copy(update={"max_length": 65})
    network = build_network(tmp_path, spec)
    runtime = EagerRuntime(network, device="cpu")
    with pytest.raises(SpecInvalid, match="the network fails on length 65"):
        check_export(runtime, runtime, spec, describe_inside(network, spec, tmp_path))


def test_an_export_that_answers_otherwise_is_refused(bert: tuple[Path, Added]) -> None:
    source, added = bert
    network = build_network(source, added.spec)
    with torch.no_grad():
        network.get_parameter("body.classifier.bias")[1] += 0.01
    inside = describe_inside(network, added.spec, source)
    export = OnnxRuntime(added.folder / "model.onnx", threads=1)
    with pytest.raises(ExportDisagrees, match=r"differs from the original by 0\.\d+ in 'logits' on one row"):
        check_export(EagerRuntime(network, device="cpu"), export, added.spec, inside)


class Branching(torch.nn.Module):
    """A network that takes another way for other values, which no graph can."""

    input_names = ("input_ids",)

    def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embedding": input_ids.float() if input_ids.sum() > 3 else -input_ids.float()}


def test_a_network_that_torch_cannot_export_is_refused_with_the_reason(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="branching", family="transformer", task="text-embedding", dimension=19, architecture="hugging-face",
        inputs=(InputColumn(name="text", kind="text"),),
    )  # fmt: skip
    with pytest.raises(SpecInvalid, match="branching: torch cannot export it to ONNX") as error:
        export_onnx(Branching(), spec, tmp_path / "model.onnx")
    assert "\n" not in str(error.value)


def test_another_task_is_refused_before_anything_is_loaded(tmp_path: Path, home: Path) -> None:
    tiny.write_json(tmp_path / "config.json", {"architectures": ["BertForTokenClassification"]})
    refuse(tmp_path, UnsupportedTask, "token-classification", home)


def test_a_name_that_no_store_takes_is_refused(tmp_path: Path, home: Path) -> None:
    refuse(user_folder(tmp_path), SpecInvalid, "name: String should match pattern", home, name="No Spaces")


def test_a_place_that_is_not_there_is_refused(tmp_path: Path, home: Path) -> None:
    refuse(tmp_path / "nothing/there", ModelNotFound, "which is not there", home)
    (tmp_path / "notes.txt").write_text("x")
    refuse(tmp_path / "notes.txt", ModelNotFound, r"which is no folder and no \.onnx file", home)


def test_a_hub_id_without_a_network_is_refused_in_one_line(tmp_path: Path, home: Path) -> None:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    script = "import sys; from models.add import add_model; add_model('acme/nothing', name='x')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("models.errors.ModelNotFound: No model 'acme/nothing': looked in the folder")
    assert "the Hugging Face hub (it cannot be reached from here, and its cache on this machine" in last


def test_a_hub_model_in_the_cache_is_added_without_a_network(
    bert: tuple[Path, Added], tmp_path: Path, home: Path
) -> None:
    """The hub's cache has links to blobs for files, as huggingface_hub lays them out."""
    _, added = bert
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub/models--acme--tiny"
    snapshot = repository / "snapshots" / commit
    for path in filter(Path.is_file, added.folder.iterdir()):
        blob = repository / "blobs" / path.name
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    script = "import sys; from models.add import add_model; print(add_model('acme/tiny', name='x').spec.source)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == f"acme/tiny@{commit}", done.stderr
    assert len(list(home.glob("models/x/*/model.onnx"))) == 1
    assert not any(path.is_symlink() for path in home.rglob("*"))


def test_large_weights_lie_beside_the_graph_and_answer_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.make_bert_classifier(tmp_path / "bert")
    whole = add_model(tmp_path / "bert", name="whole")
    monkeypatch.setattr("models.export.LARGEST_GRAPH_BYTES", 10_000)
    apart = add_model(tmp_path / "bert", name="apart")
    assert not (whole.folder / "model.onnx.data").exists()
    assert (apart.folder / "model.onnx.data").stat().st_mode & 0o777 == 0o644
    assert (apart.folder / "model.onnx").stat().st_size < (whole.folder / "model.onnx").stat().st_size
    texts = TEXTS
    assert load_model("apart").predict(texts) == load_model("whole").predict(texts)
    assert add_model(tmp_path / "bert", name="apart").digest == apart.digest, "the same weights, the same bytes"
    with (apart.folder / "model.onnx.data").open("r+b") as data:
        data.write(b"\xff")
    with pytest.raises(DigestMismatch, match=r"model\.onnx\.data"):
        load_model("apart")
