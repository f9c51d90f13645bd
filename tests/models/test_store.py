"""The store keeps whole versions, and gives them to other machines whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from models import zoo
from models.artifact import record_digest
from models.errors import (
    DigestMismatch,
    MissingExtra,
    ModelAccessDenied,
    ModelNotFound,
    ModelStoreUnavailable,
    SpecInvalid,
)
from models.load import load_model
from models.locate import known_tags, locate_model
from models.store import push_model, remove_model, save_model, verify_model
from tests.fault_proxy import FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SOURCE = Path(zoo.__file__).parent / "vowels-bilstm"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of the test's own."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "bentoml"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SOURCE, tmp_path / "artifact"))


def change(folder: Path) -> Path:
    """Another version of the model."""
    (folder / "NOTICE").write_text("changed")
    record_digest(folder)
    return folder


def test_a_version_is_named_by_its_content_and_found_by_name(artifact: Path) -> None:
    tag = save_model(artifact, "vowels-bilstm")
    assert tag == f"vowels-bilstm:{record_digest(artifact)[:12]}"
    model = load_model("vowels-bilstm")
    assert model.tag == tag
    assert model.predict([[[0.0] * 12] * 7])[0]["error"] is None


def test_saving_twice_keeps_one_version_and_its_files(artifact: Path, home: Path) -> None:
    first = save_model(artifact, "m")
    stamps = {path: path.stat().st_mtime_ns for path in (home / "models/m" / first[2:]).iterdir()}
    assert save_model(artifact, "m") == first
    assert {path: path.stat().st_mtime_ns for path in (home / "models/m" / first[2:]).iterdir()} == stamps


def test_the_version_saved_last_is_the_latest(artifact: Path) -> None:
    first = save_model(artifact, "m")
    second = save_model(change(artifact), "m")
    assert first != second
    assert f"m:{locate_model('m').version}" == second
    assert save_model(SOURCE, "m") == first
    assert f"m:{locate_model('m').version}" == first


def test_a_copy_that_was_cut_short_is_replaced(artifact: Path) -> None:
    tag = save_model(artifact, "m")
    place = locate_model(tag).folder
    for name in ("model.onnx", "model.yaml"):
        (place / name).unlink()
        assert save_model(artifact, "m") == tag
        assert (place / name).is_file()


def test_many_processes_may_save_the_same_model_at_once(artifact: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from models.store import save_model; save_model(Path(sys.argv[1]), 'm')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(artifact)], stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert len(known_tags()) == 1
    verify_model("m")


def test_bentoml_itself_knows_the_model(artifact: Path, home: Path) -> None:
    tag = save_model(artifact, "m")
    script = "import sys, bentoml; print(bentoml.models.get('m').tag, bentoml.models.get(sys.argv[1]).path)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, tag], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == [tag, str(home / "models/m" / tag[2:])]


def test_the_store_is_read_without_bentoml(artifact: Path) -> None:
    tag = save_model(artifact, "m")
    script = """
import sys
sys.modules["bentoml"] = None
from models.locate import known_tags
from models.store import verify_model
print(*known_tags(), verify_model("m"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [tag, record_digest(artifact)], done.stderr


def test_without_bentoml_saving_names_the_line_that_installs_it(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bentoml", None)
    with pytest.raises(MissingExtra, match=r"-e '\.\[serve\]'"):
        save_model(artifact, "m")


def test_a_changed_file_is_found_by_its_name(artifact: Path) -> None:
    tag = save_model(artifact, "m")
    digest = verify_model(tag)
    assert digest.startswith(tag[2:])
    (locate_model(tag).folder / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch, match=r"config\.json has sha256"):
        verify_model("m")


def test_a_folder_that_is_not_as_recorded_is_not_saved(artifact: Path, home: Path) -> None:
    (artifact / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch):
        save_model(artifact, "m")
    assert not home.exists()


def test_a_folder_without_a_record_cannot_be_verified(artifact: Path) -> None:
    (artifact / "digest.json").unlink()
    with pytest.raises(SpecInvalid, match=r"has no digest\.json.*tandem model add"):
        verify_model(str(artifact))


def test_removing_the_latest_makes_the_one_before_it_the_latest(artifact: Path) -> None:
    first = save_model(artifact, "m")
    second = save_model(change(artifact), "m")
    with pytest.raises(SpecInvalid, match=f"has 2 versions: .*{second[2:]}"):
        remove_model("m")
    assert remove_model(second) == second
    assert f"m:{locate_model('m').version}" == first
    assert remove_model("m") == first
    assert known_tags() == []
    with pytest.raises(ModelNotFound):
        remove_model("m")


def test_a_name_that_bentoml_does_not_take_is_refused_in_one_line(artifact: Path) -> None:
    with pytest.raises(SpecInvalid, match="refuses it") as error:
        save_model(artifact, "ends-with-")
    assert "\n" not in str(error.value)


def keys_put(client: S3Client) -> list[str]:
    """The keys that a client puts, in the order in which it asks."""
    keys: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        keys.append(params["Key"])

    client.meta.events.register("before-parameter-build.s3.PutObject", note)
    return keys


def test_a_pushed_model_answers_from_its_prefix(artifact: Path, bucket: str) -> None:
    tag = save_model(artifact, "vowels-bilstm")
    client = boto3.client("s3")
    keys = keys_put(client)
    url = push_model(tag, f"s3://{bucket}/models/vowels/", client=client)
    assert url == f"s3://{bucket}/models/vowels"
    assert [key.rpartition("/")[2] for key in keys[-2:]] == ["tandem.yaml", "digest.json"]
    assert "models/vowels/model.yaml" not in keys  # BentoML's own
    rows = [[[0.5] * 12] * 9]
    assert load_model(url).predict(rows) == load_model(tag).predict(rows)


def test_a_folder_may_be_pushed_to_a_whole_bucket(artifact: Path, bucket: str) -> None:
    assert push_model(str(artifact), f"s3://{bucket}") == f"s3://{bucket}"
    assert load_model(f"s3://{bucket}").digest == record_digest(artifact)


def test_a_damaged_model_is_not_pushed(artifact: Path, bucket: str, s3_client: S3Client) -> None:
    (artifact / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch):
        push_model(str(artifact), f"s3://{bucket}/m")
    assert s3_client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("url", ["bucket/m", "/folder", "s3://", "gs://bucket/m"])
def test_a_place_that_is_no_prefix_is_refused(artifact: Path, url: str) -> None:
    with pytest.raises(SpecInvalid, match="expected a place such as s3://bucket/models/name"):
        push_model(str(artifact), url)


def test_a_bucket_that_is_not_there_is_named(artifact: Path, s3: str) -> None:
    with pytest.raises(SpecInvalid, match=r"could not be pushed.*no bucket 'nobody-has-this-bucket'") as error:
        push_model(str(artifact), "s3://nobody-has-this-bucket/m")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(403, "AccessDenied", ModelAccessDenied), (503, "SlowDown", ModelStoreUnavailable)],
)
def test_a_refusing_store_is_told_from_a_busy_one(
    artifact: Path,
    bucket: str,
    s3: str,
    status: int,
    code: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with FaultProxy(s3) as proxy:
        proxy.add(Rule(fault="error", method="PUT", times=None, status=status, code=code))
        client = boto3.client("s3", endpoint_url=proxy.url)
        with pytest.raises(error, match=code):
            push_model(str(artifact), f"s3://{bucket}/m", client=client)
