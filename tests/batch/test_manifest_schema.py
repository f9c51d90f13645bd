"""Every manifest follows the published schema, which is closed: a key that it does not name is found."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest

from batch.account.manifest import check_manifest, manifest_schema
from batch.retry.retry import retry_job
from batch.run import run_job
from tests.batch.command import Command, tandem
from tests.batch.places import WORD_COUNT, Folder, put_table, read_json, texts
from tests.models.made_variants import made

MANIFEST = "out/_tandem/manifest.json"
ZOO = Path(__file__).parents[2] / "models/zoo"
VOWELS = {"model": "vowels-bilstm", "column": {"sequence": "steps"}, "input": str(ZOO / "data/vowels.parquet")}


def settings(place: Folder, **more: Any) -> dict[str, Any]:
    return {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/", **more}


def with_errors(place: Folder) -> dict[str, Any]:
    put_table(place, "in/a.parquet", pa.table({"id": [1, 2, 3], "text": ["a", None, "b c"]}))
    return settings(place)


def with_workers(place: Folder) -> dict[str, Any]:
    for number in range(3):
        put_table(place, f"in/p={number}/a.parquet", texts(9))
    return settings(place, workers=2, where="id > 2", keep=["id"])


def without_rows(place: Folder) -> dict[str, Any]:
    put_table(place, "in/a.parquet", texts(0))
    return settings(place)


def with_labels(place: Folder) -> dict[str, Any]:
    return settings(place, **VOWELS, label="speaker", limit=60)


def on_a_variant(place: Folder) -> dict[str, Any]:
    return settings(place, **VOWELS, limit=60) | {
        "model": str(made("vowels-bilstm", "openvino", "fp32")),
        "runtime": "openvino",
    }


def of_images(place: Folder) -> dict[str, Any]:
    data = str(ZOO / "data/fashion.parquet")
    return settings(place, model="fashion-resnet", input=data, column={"image": "image"}, limit=20)


def of_a_table(place: Folder) -> dict[str, Any]:
    put_table(place, "in/a.parquet", texts(9))
    return settings(place, table="delta", part_size="1MB")


KINDS = [with_errors, with_workers, without_rows, with_labels, on_a_variant, of_images, of_a_table]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_manifest_follows_the_schema(folder: Folder, kind: Any) -> None:
    run_job(kind(folder))
    (key,) = [key for key in folder.etags("out/") if key.endswith("_tandem/manifest.json")]
    written = read_json(folder, key)
    jsonschema.Draft202012Validator(manifest_schema()).validate(written)
    assert check_manifest(folder.get(key)) == written


@pytest.mark.parametrize("table", ["none", "delta"])
def test_after_a_retry_it_still_does(folder: Folder, table: str) -> None:
    run_job(with_errors(folder) | {"table": table})
    returned = retry_job(f"{folder.url}out/", model=WORD_COUNT)
    (key,) = [key for key in folder.etags("out/") if key.endswith("_tandem/manifest.json")]
    for manifest in (read_json(folder, key), json.loads(json.dumps(returned))):
        jsonschema.validate(manifest, manifest_schema())
        assert manifest["retries"] == 1


def test_what_a_run_with_nothing_to_do_returns_follows_it_too(folder: Folder) -> None:
    job = with_errors(folder)
    run_job(job)
    jsonschema.validate(json.loads(json.dumps(run_job(job))), manifest_schema())


#: Objects of a manifest whose keys the schema names, and a key that each must have.
OBJECTS: dict[tuple[Any, ...], str] = {
    (): "shards",
    ("model",): "tag",
    ("settings",): "keep",
    ("run",): "rows",
    ("parts", 0): "rows",
    ("work",): "padded",
    ("quality",): "accuracy",
    ("examples", 0): "row",
}


@pytest.mark.parametrize("place", OBJECTS, ids=lambda place: ".".join(map(str, place)) or "top")
def test_a_key_that_is_misspelt_or_missing_is_found(folder: Folder, place: tuple[Any, ...]) -> None:
    run_job(with_labels(folder))
    manifest = read_json(folder, MANIFEST)
    manifest["examples"] = [{"class": "NullValue", "message": "expected text", "source": "a", "row": 1}]
    validator = jsonschema.Draft202012Validator(manifest_schema())
    validator.validate(manifest)
    misspelt, missing = copy.deepcopy(manifest), copy.deepcopy(manifest)
    within(misspelt, place)["rwos"] = 1
    del within(missing, place)[OBJECTS[place]]
    for wrong, says in ((misspelt, "'rwos' was unexpected"), (missing, f"'{OBJECTS[place]}' is a required property")):
        assert says in " ".join(messages(validator.iter_errors(wrong)))
        with pytest.raises(ValueError, match="rwos" if wrong is misspelt else OBJECTS[place]):
            check_manifest(json.dumps(wrong).encode())


def messages(errors: Iterable[jsonschema.ValidationError]) -> Iterator[str]:
    """What is wrong, also where a value is one of several kinds."""
    for error in errors:
        yield error.message
        yield from messages(error.context)


def within(content: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        content = content[step]
    return content


def test_the_command_prints_it_and_the_jobs_stays_the_default(command: Command) -> None:
    printed = json.loads(tandem("schema", "manifest").out)
    assert printed == manifest_schema()
    jsonschema.Draft202012Validator.check_schema(printed)
    assert command("schema").out == command("schema", "job").out
    assert command("schema", "nothing").code == 2
