"""A model's name -> the folder that holds it: a store tag, a local folder, or an s3:// prefix."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.artifact import DIGEST_FILE, verify_digest
from models.errors import ModelAccessDenied, ModelNotFound, ModelStoreUnavailable, SpecInvalid
from models.spec import SPEC_FILE

DIGEST = re.compile(r"[0-9a-f]{64}")
#: Hex digits of the digest that name a version.
VERSION_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A model's folder. `version` is the store's, or the beginning of the digest where no store named one."""

    folder: Path
    version: str | None


def store_home() -> Path:
    """BentoML's model store: `$BENTOML_HOME/models`, without importing bentoml."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml") / "models"


def cache_home() -> Path:
    """Where fetched models and data lie: `$TANDEM_CACHE`, else `~/.cache/tandem`."""
    return Path(os.environ.get("TANDEM_CACHE") or Path.home() / ".cache" / "tandem")


def locate_model(name: str, **s3: str | None) -> Located:
    """Find the folder that a name leads to.

    `s3://bucket/prefix` is fetched once into the cache and its digest verified. A name with a slash or a dot in front,
    or one that is a folder with a tandem.yaml, is a local folder. Everything else is a tag
    `name[:version]` of the store, or of the zoo where the store has no such name.

    Raises:
        ModelNotFound: nothing is there.
        SpecInvalid: a folder without tandem.yaml.
        DigestMismatch: the fetched files are not those recorded.
    """
    if name.startswith("s3://"):
        return Located(folder=fetch_model(name, **s3), version=None)
    folder = Path(name).expanduser()
    if (folder / SPEC_FILE).is_file():
        return Located(folder=folder, version=None)
    if "/" in name or name.startswith((".", "~")):
        if folder.is_dir():
            raise SpecInvalid(
                name, f"has no {SPEC_FILE}",
                remedy=f"A Hugging Face folder becomes a model with: tandem model add {name} --name NAME.",
            )  # fmt: skip
        raise ModelNotFound(name, looked_in=[f"the folder {folder.absolute()}"])
    return locate_tag(name)


def locate_tag(tag: str) -> Located:
    """Find `name` (its latest version) or `name:version` in the store's folder layout."""
    name, _, wanted = tag.partition(":")
    for home in store_homes():
        version = wanted if wanted and wanted != "latest" else latest_version(home / name)
        folder = home / name / version
        if version and (folder / SPEC_FILE).is_file():
            return Located(folder=folder, version=version)
    for folder in zoo_folders():
        if folder.name == name and wanted in ("", "latest", version := recorded_version(folder)):
            return Located(folder=folder, version=version)
    known = [*known_tags(), *(folder.name for folder in zoo_folders())]
    raise ModelNotFound(tag, looked_in=[f"the model store {store_home()}", "the zoo"], known=known)


def store_homes(package: Path = Path(__file__).parent) -> list[Path]:
    """Where tags are looked up: the store, and, in a container, the bento that this code lies in."""
    bento = package.parent.parent
    inside = package.parent.name == "src" and (bento / "bento.yaml").is_file()
    return [store_home(), *([bento / "models"] if inside else [])]


def latest_version(folder: Path) -> str:
    """The version that BentoML's `latest` names; "" where there is none."""
    latest = folder / "latest"
    return latest.read_text(encoding="utf-8").strip() if latest.is_file() else ""


def zoo_folders() -> list[Path]:
    """The models that come along with the package."""
    return sorted(path.parent for path in (Path(__file__).parent / "zoo").glob(f"*/{SPEC_FILE}"))


def recorded_version(folder: Path) -> str:
    """The version that the store gives to an artifact: the beginning of its digest."""
    return verify_digest(folder)[:VERSION_LENGTH]


def known_tags() -> list[str]:
    """Every `name:version` of the store that holds a tandem.yaml."""
    return sorted(f"{path.parent.parent.name}:{path.parent.name}" for path in store_home().glob(f"*/*/{SPEC_FILE}"))


def fetch_model(
    url: str, *, endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Path:
    """Fetch the artifact under an s3:// prefix into the cache, once for each recorded digest, and verify it.

    Raises:
        ModelNotFound: the prefix holds no digest.json (written last by `tandem model push`).
        ModelAccessDenied, ModelStoreUnavailable: the store said so.
        DigestMismatch: what arrived is not what was recorded.
    """
    import json

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    session = boto3.Session(profile_name=profile, region_name=region)
    client: Any = session.client("s3", endpoint_url=endpoint_url)
    try:
        record = client.get_object(Bucket=bucket, Key=prefix + DIGEST_FILE)["Body"].read()
        content = json.loads(record)
        if not DIGEST.fullmatch(content["digest"]):
            raise ValueError(f"its digest is {content['digest'][:80]!r}")
        target: Path = cache_home() / "models" / content["digest"]
        if target.is_dir():
            verify_digest(target)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=target.parent))
        try:
            for name in [*content["files"], DIGEST_FILE]:
                path = arriving / name
                if not path.resolve().is_relative_to(arriving.resolve()):
                    raise SpecInvalid(url, f"digest.json names a file outside the model: {name!r}")
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, prefix + name, str(path))
                path.chmod(0o644)
            verify_digest(arriving)
            arriving.chmod(0o755)
            if not target.exists():
                arriving.rename(target)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
    except (ValueError, KeyError, TypeError) as error:
        raise SpecInvalid(url + "/" + DIGEST_FILE, f"is not a digest record ({error})") from None
    except NoCredentialsError as error:
        raise ModelAccessDenied(url, why=str(error)) from None
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            raise ModelNotFound(url, looked_in=[f"s3://{bucket}/{prefix}{DIGEST_FILE} ({code})"]) from None
        if status in (400, 401, 403):
            raise ModelAccessDenied(url, why=code) from None
        raise ModelStoreUnavailable(url, why=code) from None
    except BotoCoreError as error:
        raise ModelStoreUnavailable(url, why=str(error)) from None
    return target
