"""The BentoML model store: save, verify, push and remove models.

Reading needs no bentoml: the store's layout is folders, `$BENTOML_HOME/models/NAME/VERSION` and a file `latest`
beside the versions. Writing and removing are left to bentoml, which keeps a model.yaml of its own in each.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.artifact import DIGEST_FILE, model_files, verify_digest
from models.carry_variants import copy_variants, list_carried
from models.errors import DigestMismatch, MissingExtra, SpecInvalid
from models.locate import VERSION_LENGTH, known_tags, locate_model, locate_tag, store_home
from models.s3_faults import open_client, s3_faults
from models.spec import SPEC_FILE


def save_model(folder: Path, name: str) -> str:
    """Copy an artifact folder with its digest.json into the store, and make it the latest of its name.

    Saving what is there already changes nothing but `latest`; a copy that was cut short or damaged is replaced.

    Returns:
        The tag, `name:version`.

    Raises:
        MissingExtra: bentoml is not installed.
        DigestMismatch: the folder is not as recorded.
        SpecInvalid: a name that the store does not take, or a store that cannot be written.
    """
    version = verify_digest(folder)[:VERSION_LENGTH]
    tag = f"{name}:{version}"
    place = store_home() / name / version
    with bentoml_store(tag) as (bentoml, store), one_writer():
        if place.is_dir() and not is_whole(place, folder):
            shutil.rmtree(place)
        if not place.is_dir():
            with bentoml.models.create(tag, _model_store=store) as model:
                shutil.copytree(folder, model.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
        else:
            copy_variants(folder, place)
        (place.parent / "latest").write_text(version, encoding="utf-8")
    return tag


@contextmanager
def one_writer() -> Iterator[None]:
    """Wait until no other process writes to the store: half a copy of another's must not be taken for a damaged one."""
    with (store_home() / ".tandem-writes").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_whole(place: Path, folder: Path) -> bool:
    """Whether a version in the store is what `folder` is."""
    try:
        complete = (place / DIGEST_FILE).is_file() and (place / "model.yaml").is_file()
        return complete and verify_digest(place) == verify_digest(folder)
    except (DigestMismatch, SpecInvalid):
        return False


def verify_model(name: str, **s3: str | None) -> str:
    """Hash every file of a model and of its variants, and compare with what was recorded.

    Args:
        name: where the model is.
        s3: endpoint_url, region and profile for a model under an s3:// prefix; by default as boto3 finds them.

    Returns:
        The digest.

    Raises:
        DigestMismatch: names the file.
        SpecInvalid: nothing was recorded to compare with.
    """
    folder = locate_model(name, **s3).folder
    if not (folder / DIGEST_FILE).is_file():
        raise SpecInvalid(
            str(folder),
            f"has no {DIGEST_FILE}, so there is nothing to verify against",
            remedy="tandem model add records one.",
        )
    digest = verify_digest(folder)
    list_carried(folder)
    return digest


def remove_model(tag: str) -> str:
    """Remove one version from the store; `latest` goes to the newest that is left.

    Args:
        tag: `name:version`; `name` alone where there is one version only.

    Returns:
        The tag removed.

    Raises:
        ModelNotFound: it is not in the store.
        SpecInvalid: several versions, and none was named; or it lies outside the store.
    """
    located = locate_tag(tag)
    if not located.folder.is_relative_to(store_home()):
        raise SpecInvalid(tag, "comes with the package, not from the model store, and cannot be removed")
    name = tag.partition(":")[0]
    versions = [known for known in known_tags() if known.startswith(f"{name}:")]
    if ":" not in tag and len(versions) > 1:
        raise SpecInvalid(tag, f"has {len(versions)} versions: {', '.join(versions)}", remedy="Name one of them.")
    removed = f"{name}:{located.version}"
    with bentoml_store(removed) as (bentoml, store), one_writer():
        bentoml.models.delete(removed, _model_store=store)
    return removed


@contextmanager
def bentoml_store(tag: str) -> Iterator[tuple[Any, Any]]:
    """bentoml, and its store at the BENTOML_HOME of now; its own errors become ours.

    bentoml reads BENTOML_HOME once in a process, so the store is named to it. It reports every saved model to its
    makers unless told not to: adding a model here tells nobody.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # bentoml's own, of the libraries that it uses
            import bentoml.models
            from bentoml._internal.models import ModelStore
            from bentoml.exceptions import BentoMLException
    except ModuleNotFoundError as error:
        raise MissingExtra("The model store", package=str(error.name), extra="serve") from None
    home = store_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        yield bentoml, ModelStore(home)
    except (BentoMLException, ValueError, OSError) as error:
        raise SpecInvalid(tag, f"the store {home} refuses it ({str(error).splitlines()[0][:200]})") from None


def push_model(name: str, url: str, *, client: Any = None, **s3: str | None) -> str:
    """Put a model's files under an s3:// prefix, from where any machine may name it.

    Its variants go along. digest.json comes last, and tandem.yaml before it: a reader sees a whole model or none, and
    one that reads while another version is pushed finds that the digest does not fit.

    Args:
        name: where the model is.
        url: the prefix.
        client: boto3's; None opens one.
        s3: endpoint_url, region and profile of the client; by default as boto3 finds them.

    Returns:
        The prefix as a model's name: `load_model` and `--model` take it.

    Raises:
        SpecInvalid: no s3:// prefix, no such bucket, a model without a recorded digest, or settings that boto3 does not
            take.
        ModelAccessDenied, ModelStoreUnavailable: the object store said so.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        raise SpecInvalid(url, "expected a place such as s3://bucket/models/name")
    verify_model(name, **s3)
    folder = locate_model(name, **s3).folder
    variants = list_carried(folder)
    carried = [folder / file for entry in variants.values() for file in entry["files"]]
    files = carried + sorted(model_files(folder), key=lambda path: (path.name == SPEC_FILE, path))
    record = json.loads((folder / DIGEST_FILE).read_text(encoding="utf-8")) | {"variants": variants}
    prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
    client = client or open_client(url, **s3)
    with s3_faults(url, "push"):
        for path in files:
            client.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix())
        client.put_object(Bucket=bucket, Key=prefix + DIGEST_FILE, Body=json.dumps(record, indent=1).encode())
    return f"s3://{bucket}/{prefix}".rstrip("/")
