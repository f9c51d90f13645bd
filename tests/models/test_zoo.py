"""What the zoo promises: checked packages, small artifacts without pickles, splits and accuracies to be had again."""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from models.zoo import datasets
from models.zoo.fetch import FetchFailed, build_folder, fetch_wheel, unzip_members
from models.zoo.pretrained import fetch_pretrained

ZOO = Path(datasets.__file__).parent
TRAINED = ["bbc-bert", "fashion-resnet"]
HELD_OUT_IDS = "7d4027b36a45d3af6aedf789dde03a6c1b9abddf6f54bd4d9772e53c7f309026"  # sha256


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, empty."""
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that pip really reads: a folder of wheels, and nothing else in reach."""
    folder = tmp_path / "index"
    folder.mkdir()
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, members: dict[str, str]) -> str:
    """A wheel named few-words 1.0 with these members; its sha256."""
    wheel = folder / "few_words-1.0-py3-none-any.whl"
    info = {
        "few_words-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: few-words\nVersion: 1.0\n",
        "few_words-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "few_words-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**members, **info}.items():
            archive.writestr(name, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_wheel_is_downloaded_into_the_cache(cache: Path, index: Path) -> None:
    sha256 = write_wheel(index, {"few_words/a.txt": "hello"})
    fetched = fetch_wheel("few-words", "1.0", sha256)
    assert fetched.is_relative_to(cache)
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == sha256


def test_a_wheel_with_another_sha256_is_refused_and_not_kept(cache: Path, index: Path) -> None:
    found = write_wheel(index, {"few_words/a.txt": "hello"})
    with pytest.raises(FetchFailed, match=f"few-words==1.0 was not fetched: expected sha256 {'0' * 64}, .*{found}"):
        fetch_wheel("few-words", "1.0", "0" * 64)
    assert not list(cache.rglob("*.whl"))


def test_a_package_that_no_index_has_is_refused_with_the_command_to_try(cache: Path, index: Path) -> None:
    with pytest.raises(FetchFailed, match=r"No matching distribution found for few-words==1\.0.*pip download"):
        fetch_wheel("few-words", "1.0", "0" * 64)


def test_a_cached_wheel_is_used_again_without_a_process(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = write_wheel(index, {"few_words/a.txt": "hello"})
    first = fetch_wheel("few-words", "1.0", sha256)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert fetch_wheel("few-words", "1.0", sha256) == first


def test_a_damaged_cached_wheel_is_downloaded_again(cache: Path, index: Path) -> None:
    sha256 = write_wheel(index, {"few_words/a.txt": "hello"})
    fetch_wheel("few-words", "1.0", sha256).write_bytes(b"half")
    assert hashlib.sha256(fetch_wheel("few-words", "1.0", sha256).read_bytes()).hexdigest() == sha256


def test_members_are_unpacked_without_their_prefix(tmp_path: Path) -> None:
    write_wheel(tmp_path, {"few_words/model/a.txt": "hello", "few_words/model/deep/b.txt": "b", "few_words/c.txt": "c"})
    folder = unzip_members(tmp_path / "few_words-1.0-py3-none-any.whl", "few_words/model", tmp_path / "into")
    assert {str(file.relative_to(folder)) for file in folder.rglob("*.txt")} == {"a.txt", "deep/b.txt"}


def test_a_member_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_wheel(tmp_path, {"few_words/model/a.txt": "hello", "few_words/model/../../../escaped.txt": "gone"})
    with pytest.raises(FetchFailed, match="leads out of the folder"):
        unzip_members(tmp_path / "few_words-1.0-py3-none-any.whl", "few_words/model", tmp_path / "a" / "b" / "into")
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (tmp_path / "a" / "b" / "into").exists()


def test_of_two_builders_of_a_folder_both_return_one_whole_folder(tmp_path: Path) -> None:
    both_build = threading.Barrier(2, timeout=20)

    def build(folder: Path) -> None:
        both_build.wait()
        for number in range(20):
            (folder / f"{number}.txt").write_text(str(number))

    threads = [threading.Thread(target=build_folder, args=(tmp_path / "into", build)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert [len(list(folder.iterdir())) for folder in tmp_path.iterdir()] == [20]


def test_an_unknown_pretrained_model_is_refused_by_name() -> None:
    with pytest.raises(FetchFailed, match="gpt-9 was not fetched: the zoo fetches minilm and efficientnet-lite0 only"):
        fetch_pretrained("gpt-9")


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_artifact_is_small_and_readable_and_holds_no_pickle(name: str) -> None:
    files = [file for file in (ZOO / name).rglob("*") if file.is_file()]
    assert {"config.json", "model.safetensors", "accuracy.json"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 2_000_000
    for file in files:
        assert file.suffix in {".json", ".safetensors", ".onnx", ".yaml"}, file
        assert file.stat().st_mode & 0o444 == 0o444, file
        assert not zipfile.is_zipfile(file), file


def test_the_news_split_is_the_same_on_every_machine() -> None:
    test, train = datasets.bbc_news("test"), datasets.bbc_news("train")
    assert (test.num_rows, train.num_rows) == (445, 1748)
    assert test.schema.names == ["id", "text", "label", "lang"]
    ids = ",".join(map(str, test["id"].to_pylist()))
    assert hashlib.sha256(ids.encode()).hexdigest() == HELD_OUT_IDS
    assert not set(test["text"].to_pylist()) & set(train["text"].to_pylist())
    assert set(test["label"].to_pylist()) == set(datasets.BBC_LABELS)


def test_the_fashion_sample_is_balanced_and_made_of_pngs() -> None:
    sample = pq.read_table(ZOO / "data" / "fashion.parquet")
    assert sample.num_rows == 1000
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(sample["label"]).to_pylist()}
    assert counts == dict.fromkeys(datasets.FASHION_LABELS, 100)
    for encoded in sample["image"].to_pylist()[:50]:
        image = Image.open(io.BytesIO(encoded))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (28, 28))


def test_bbc_bert_is_as_accurate_as_it_says() -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(ZOO / "bbc-bert", dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(ZOO / "bbc-bert")
    rows = datasets.bbc_news("test").take(np.arange(0, 445, 4))
    found = []
    for text in rows["text"].to_pylist():
        logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits
        found.append(model.config.id2label[int(logits.argmax())])
    assert_accuracy(np.array(found) == np.array(rows["label"].to_pylist()), "bbc-bert")


def test_fashion_resnet_is_as_accurate_as_it_says() -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(ZOO / "fashion-resnet", dtype="float32").eval()
    processor = AutoImageProcessor.from_pretrained(ZOO / "fashion-resnet")
    rows = pq.read_table(ZOO / "data" / "fashion.parquet")
    images = [np.asarray(Image.open(io.BytesIO(encoded)))[None] for encoded in rows["image"].to_pylist()]
    with torch.inference_mode():
        pixels = processor(images, input_data_format="channels_first", return_tensors="pt")
        numbers = model(**pixels).logits.argmax(1).tolist()
    found = np.array([model.config.id2label[number] for number in numbers])
    assert_accuracy(found == np.array(rows["label"].to_pylist()), "fashion-resnet", of="sample")


def assert_accuracy(right: np.ndarray, name: str, *, of: str | None = None) -> None:
    """The share that is right is within 0.02 of what the artifact says of itself."""
    record = json.loads((ZOO / name / "accuracy.json").read_text())
    assert abs(right.mean() - (record[of] if of else record)["value"]) <= 0.02


def test_the_demo_data_are_labelled_parquet_files_of_several_row_groups(tmp_path: Path) -> None:
    folders = datasets.write_demo_data(tmp_path)
    expected = [("news", 4, 445, "label"), ("fashion", 4, 1000, "label"), ("vowels", 2, 370, "speaker")]
    for name, files, rows, label in expected:
        written = sorted(folders[name].glob("*.parquet"))
        assert len(written) == files
        assert all(pq.ParquetFile(file).num_row_groups > 1 for file in written)
        table = pq.read_table(folders[name])
        assert table.num_rows == rows
        assert {"id", label} <= set(table.schema.names)


def test_fetching_needs_neither_torch_nor_transformers() -> None:
    script = "import sys, models.zoo.pretrained, models.zoo.datasets as _\n"
    script += "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(("size", "kernel", "stride", "expected"), [(224, 3, 2, 112), (225, 3, 2, 113), (7, 5, 1, 7)])
def test_a_same_convolution_pads_as_tensorflow_does(size: int, kernel: int, stride: int, expected: int) -> None:
    import torch

    from models.networks.efficientnet_lite import SameConv2d

    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(convolution.weight)
    sums = convolution(torch.ones(1, 1, size, size))[0, 0]
    assert sums.shape == (expected, expected)
    # Where the pad is odd, the far side has more of it: the near corner then sees a whole window.
    pad = max((expected - 1) * stride + kernel - size, 0)
    assert sums[0, 0].item() == (kernel - pad // 2) ** 2


def test_efficientnet_lite0_has_the_parameters_of_the_paper() -> None:
    from models.networks.efficientnet_lite import EfficientNetLite0

    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 4_652_008
