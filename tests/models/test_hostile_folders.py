"""Models from strangers: what would run code, read elsewhere or fill the memory is refused in one line."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from models.errors import ArtifactRefused, ModelError, ModelNotFound, SpecInvalid
from models.load import describe_model, load_model
from models.named_files import find_fault, is_plain_path
from tests.models.damage import copy_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of("vowels-bilstm", tmp_path / "model")


def external(location: str) -> onnx.TensorProto:
    """A weight that lies in another file."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def graph_with(place: str, tensor: onnx.TensorProto) -> onnx.ModelProto:
    """A model that has a tensor as an initializer, in a node's attribute, in a subgraph, or in a function."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", 1, [4])])
    nodes = {"attribute": [constant], "subgraph": [helper.make_node("If", ["b"], ["y"], then_branch=inner)]}
    graph = helper.make_graph(nodes.get(place, []), "g", [], [helper.make_tensor_value_info("y", 1, [4])])
    if place == "initializer":
        graph.initializer.append(tensor)
    model = helper.make_model(graph)
    if place == "function":
        model.functions.append(helper.make_function("d", "f", [], ["c"], [constant], model.opset_import))
    return model


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph", "function"])
@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "deep/weights", "..", ".hidden", "*/_ORT_MEM_ADDR_/*", "C:\\x", "w\0.data", ""],
)
def test_a_graph_whose_weights_lie_elsewhere_is_refused(folder: Path, place: str, location: str) -> None:
    (folder / "model.onnx").write_bytes(graph_with(place, external(location)).SerializeToString())
    with pytest.raises(ArtifactRefused, match=r"model\.onnx is refused: it keeps weights in .* no file beside it"):
        describe_model(str(folder))


def test_a_graph_whose_weights_lie_beside_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_with("initializer", external("model.onnx.data")).SerializeToString())
    assert find_fault(path) is None


def test_a_node_that_somebody_compiled_is_refused(folder: Path) -> None:
    node = helper.make_node("EPContext", [], ["y"], domain="com.microsoft", ep_cache_context="../engine")
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [4])])
    (folder / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ArtifactRefused, match="EPContext"):
        describe_model(str(folder))


def test_an_operation_of_a_strangers_library_does_not_load(folder: Path) -> None:
    node = helper.make_node("Anything", ["x"], ["y"], domain="stranger.so")
    values = [helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("stranger.so", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="does not load") as caught:
        load_model(str(folder), runtime="onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"location", b"\xff" * 40 + b"location", b"\x3a\xff\xff\xff\x7flocation", b"\x08\x80location"],
)
def test_bytes_that_are_no_graph_are_refused_or_do_not_load(folder: Path, body: bytes) -> None:
    (folder / "model.onnx").write_bytes(body)
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), runtime="onnx")
    assert "\n" not in str(caught.value)


def torch_zip() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(print))
    return body.getvalue()


def index_of(name: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {"w": name}}).encode()


FILES: dict[str, tuple[str, bytes, str]] = {
    "a pickle": ("pytorch_model.bin", pickle.dumps({}), "loading it can run code"),
    "a pickle in capitals": ("WEIGHTS.PKL", pickle.dumps({}), "loading it can run code"),
    "a pickle below": ("1_Dense/pytorch_model.bin", pickle.dumps({}), "loading it can run code"),
    "a pickle by another name": ("other.safetensors", pickle.dumps({}), "a pickle by another name"),
    "a torch file by another name": ("other.safetensors", torch_zip(), "a pickle by another name"),
    "an array of objects": ("extra.npy", b"\x93NUMPY", "loading it can run code"),
    "a Keras file": ("model.keras", b"PK\x03\x04", "loading it can run code"),
    "code": ("modeling.py", b"import os", "an artifact holds no code"),
    "a library": ("ops.so", b"\x7fELF", "an artifact holds no code"),
    "an index that leads out": ("model.safetensors.index.json", index_of("../x.safetensors"), "no safetensors file"),
    "an index to a pickle": ("model.safetensors.index.json", index_of("x.bin"), "no safetensors file beside it"),
    "an index that is none": ("model.safetensors.index.json", b"[" * 100_000, "it is no index"),
    "a header without an end": ("other.safetensors", b"\xff" * 8 + b"{}", "it is no safetensors file"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_may_not_be_there_is_named(folder: Path, case: str) -> None:
    name, body, reason = FILES[case]
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(body)
    with pytest.raises(ArtifactRefused, match=reason) as caught:
        describe_model(str(folder))
    assert name in str(caught.value)


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../../..", "/nowhere"])
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder / "labels.txt").symlink_to(target)
    with pytest.raises(ArtifactRefused, match=r"labels\.txt is refused: it is a link that leaves the folder"):
        describe_model(str(folder))


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
SPECS: dict[str, str] = {
    "aliases that unfold to gigabytes": BOMB,
    "nested without an end": "name: " + "[" * 5000,
    "a day that is none": "name: 2026-13-45",
    "a number that is none": "name: !!int ''",
    "code": "name: !!python/object/apply:os.system ['true']",
    "a list": "- a",
    "not UTF-8": "name: \udcff",
    "large": "name: " + "x" * (3 << 20),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_spec_that_is_none_is_named(folder: Path, case: str) -> None:
    (folder / "tandem.yaml").write_text(SPECS[case], errors="surrogateescape")
    with pytest.raises(SpecInvalid, match=r"tandem\.yaml: ") as caught:
        describe_model(str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../evil"},
        {"max_length": 1 << 60},
        {"tolerance": float("inf")},
        {"dimension": 1 << 60},
        {"preprocess": {"resize": [100_000, 100_000]}},
        {"preprocess": {"resize": 224, "crop_pct": 1e-9}},
        {"preprocess": {"crop": [1 << 40, 1]}},
        {"preprocess": {"mean": [float("nan")] * 3}},
        {"preprocess": {"resample": 99}},
    ],
    ids=str,
)
def test_a_spec_that_asks_for_too_much_is_named(folder: Path, change: dict[str, Any]) -> None:
    spec = yaml.safe_load((folder / "tandem.yaml").read_text())
    (folder / "tandem.yaml").write_text(yaml.safe_dump(spec | change))
    with pytest.raises(SpecInvalid, match=next(iter(change))):
        describe_model(str(folder))


RECORDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a file above": lambda record: record["files"].update({"../../evil": "0" * 64}),
    "a file of the machine": lambda record: record["files"].update({"/etc/cron.d/evil": "0" * 64}),
    "a folder": lambda record: record["files"].update({".": "0" * 64}),
    "no name": lambda record: record["files"].update({"": "0" * 64}),
    "a NUL": lambda record: record["files"].update({"a\0b": "0" * 64}),
    "a hidden file": lambda record: record["files"].update({".ssh/authorized_keys": "0" * 64}),
    "a digest that is a path": lambda record: record.update(digest="../../../evil"),
    "a digest that is none": lambda record: record.update(digest=["x"]),
    "a variant above": lambda record: record.update(variants={"../../x": {"digest": "", "files": []}}),
    "a variant's file above": lambda record: record.update(
        variants={"onnx-int8": {"digest": "", "files": ["variants/onnx-int8/../../../x"]}}
    ),
    "a variant's file elsewhere": lambda record: record.update(
        variants={"onnx-int8": {"digest": "", "files": ["model.onnx"]}}
    ),
    "files that are none": lambda record: record.update(files=[1, 2]),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_in_a_bucket_that_leads_elsewhere_is_refused(
    case: str, bucket: str, s3_client: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "home" / "cache"))
    record: dict[str, Any] = {"digest": "0" * 64, "files": {"tandem.yaml": "0" * 64}}
    RECORDS[case](record)
    s3_client.put_object(Bucket=bucket, Key="m/digest.json", Body=json.dumps(record).encode())
    s3_client.put_object(Bucket=bucket, Key="m/tandem.yaml", Body=b"name: x")
    with pytest.raises(SpecInvalid, match="is not a digest record") as caught:
        describe_model(f"s3://{bucket}/m")
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_record_nested_without_an_end_is_none(folder: Path) -> None:
    (folder / "digest.json").write_text("[" * 100_000)
    with pytest.raises(SpecInvalid, match="is not a digest record"):
        describe_model(str(folder))
    (folder / "digest.json").write_text(json.dumps({"digest": 3, "files": {"tandem.yaml": 4}}))
    with pytest.raises(ModelError, match="was changed or damaged"):
        describe_model(str(folder))


@pytest.mark.parametrize(
    "name",
    [
        "x" * 5000,
        "bbc-bert:../../evil",
        "../" * 2000,
        "~nobody-of-that-name/model",
        "a\0b",
        "..",
        "name:",
        "/proc/1/root",
    ],
)
def test_a_name_that_leads_nowhere_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "models" / "bbc-bert").mkdir(parents=True)
    shutil.copytree(folder, tmp_path / "home" / "evil")
    with pytest.raises((ModelNotFound, SpecInvalid)) as caught:
        describe_model(name)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize("name", ["a", "a/b.onnx", "variants/onnx-int8/model.onnx", "LICENSE (old)", "ü.txt"])
def test_ordinary_paths_are_plain(name: str) -> None:
    assert is_plain_path(name)
