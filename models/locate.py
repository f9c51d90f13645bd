"""A model's name -> the folder that holds it: a store tag, a local folder, or an s3:// prefix."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.artifact import DIGEST_FILE, VARIANTS, verify_digest
from models.carry_variants import bring_variants
from models.errors import ModelNotFound, SpecInvalid
from models.named_files import is_plain_path
from models.s3_faults import open_client, s3_faults
from models.spec import SPEC_FILE

DIGEST = re.compile(r"[0-9a-f]{64}")
VARIANT = re.compile(r"[a-z0-9]+-[a-z0-9]+")
#: A name or version in the store.
TAG_PART = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}")
#: Of a digest.json that is fetched.
MOST_RECORD_BYTES = 16 << 20
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
    try:
        folder = Path(name).expanduser()
        if (folder / SPEC_FILE).is_file():
            return Located(folder=folder, version=None)
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder that may not be read, nobody's home
        why = getattr(error, "strerror", None) or error
        raise ModelNotFound(name[:200], looked_in=[f"the folder of that name ({why})"]) from None
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
    is_tag = bool(TAG_PART.fullmatch(name))
    for home in store_homes() if is_tag else []:
        version = wanted if wanted and wanted != "latest" else latest_version(home / name)
        folder = home / name / version
        if TAG_PART.fullmatch(version) and (folder / SPEC_FILE).is_file():
            return Located(folder=folder, version=version)
    for folder in zoo_folders():
        if folder.name == name and wanted in ("", "latest", version := recorded_version(folder)):
            return Located(folder=folder, version=version)
    known = [*known_tags(), *(folder.name for folder in zoo_folders())]
    raise ModelNotFound(tag[:200], looked_in=[f"the model store {store_home()}", "the zoo"], known=known)


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


def fetch_model(url: str, **s3: str | None) -> Path:
    """Fetch the artifact under an s3:// prefix into the cache, once for each recorded digest, and verify it.

    Args:
        url: the prefix.
        s3: endpoint_url, region and profile; by default as boto3 finds them.

    Raises:
        ModelNotFound: the prefix holds no digest.json (written last by `tandem model push`).
        ModelAccessDenied, ModelStoreUnavailable: the store said so.
        SpecInvalid: the digest record is none, boto3 does not take the settings, or the cache cannot be written.
        DigestMismatch: what arrived is not what was recorded.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    client = open_client(url, **s3)
    with s3_faults(url, "fetch", DIGEST_FILE):
        record = client.get_object(Bucket=bucket, Key=prefix + DIGEST_FILE)["Body"].read(MOST_RECORD_BYTES)
    names, digest, variants = read_record(record, url)
    target = cache_home() / "models" / digest

    def bring(name: str, path: Path) -> None:
        with s3_faults(url, "fetch", name):
            client.download_file(bucket, prefix + name, str(path))

    if target.is_dir():
        verify_digest(target)
        bring_variants(variants, target, bring)
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=target.parent))
    except OSError as error:
        raise SpecInvalid(
            url, f"cannot be kept in {target.parent} ({error.strerror})",
            remedy="Set TANDEM_CACHE to a folder that may be written.",
        ) from None  # fmt: skip
    try:
        for name in [*names, DIGEST_FILE]:
            path = arriving / name
            path.parent.mkdir(parents=True, exist_ok=True)
            bring(name, path)
            path.chmod(0o644)
        verify_digest(arriving, called=url)
        bring_variants(variants, arriving, bring)
        arriving.chmod(0o755)
        if not target.exists():
            arriving.rename(target)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    return target


def read_record(record: bytes, url: str) -> tuple[list[str], str, dict[str, dict[str, Any]]]:
    """The names of the files, the digest, and the variants that were pushed along, in a digest.json.

    Raises:
        SpecInvalid: it is none.
    """
    try:
        content = json.loads(record)
        names, digest = [str(name) for name in dict(content["files"])], str(content["digest"])
        if strange := [name for name in names if not is_plain_path(name)]:
            raise ValueError(f"it names a file outside the model: {strange[0][:100]!r}")
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"its digest is {digest[:80]!r}")
        variants = {
            str(name): {"digest": str(entry["digest"]), "files": [str(file) for file in entry["files"]]}
            for name, entry in dict(content.get("variants", {})).items()
        }
        for name, entry in variants.items():
            prefix = f"{VARIANTS}/{name}/"
            if not VARIANT.fullmatch(name) or not all(
                file.startswith(prefix) and is_plain_path(file) for file in entry["files"]
            ):
                raise ValueError(f"its variant {name[:100]!r} has files elsewhere")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecInvalid(f"{url.rstrip('/')}/{DIGEST_FILE}", f"is not a digest record ({error})") from None
    return names, digest, variants
