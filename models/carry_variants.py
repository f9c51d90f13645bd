"""Variants go where their model goes: into the store, under an s3:// prefix, and from there into a cache."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from models.artifact import VARIANTS
from models.errors import ModelError, SpecInvalid
from models.variants import COSTS_FILE, VARIANT_FILE, make_variant, read_record, variant_files, verify_variant

#: So often a variant is moved to its place, where others move theirs there at the same moment.
TURNS = 5
#: Brings one file of a model, by its path in the artifact, to a place.
Bring = Callable[[str, Path], object]


def variant_folders(folder: Path) -> Iterator[Path]:
    """The variants of an artifact that are finished."""
    for path in sorted((folder / VARIANTS).glob(f"*/{VARIANT_FILE}")):
        if not path.parent.name.startswith("."):
            yield path.parent


def list_carried(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> the digest and the files of each variant, every one verified, and of costs that were measured.

    Raises:
        DigestMismatch, SpecInvalid: one is not as recorded.
    """
    found = {}
    for place in variant_folders(folder):
        record = read_record(place / VARIANT_FILE)
        verify_variant(make_variant(place / VARIANT_FILE, record))
        files = [*variant_files(place), place / VARIANT_FILE, *place.glob(COSTS_FILE)]
        found[place.name] = {
            "digest": record["digest"],
            "files": [path.relative_to(folder).as_posix() for path in files],
        }
    for path in sorted((folder / VARIANTS).glob(f"[!.]*/{COSTS_FILE}")):
        # Costs of a variant without a folder, such as the reference: they change no answer and have no digest.
        found.setdefault(path.parent.name, {"digest": "", "files": [path.relative_to(folder).as_posix()]})
    return found


def copy_variants(folder: Path, target: Path) -> None:
    """Bring to one artifact the variants that another of the same content has."""
    if folder.resolve() != target.resolve():
        bring_variants(list_carried(folder), target, lambda name, path: shutil.copyfile(folder / name, path))


def bring_variants(carried: Mapping[str, Mapping[str, Any]], target: Path, bring: Bring) -> None:
    """Make an artifact have the named variants; one that is there already, by its digest, is not brought again.

    Each appears whole or not at all.

    Args:
        carried: as `list_carried` has it.
        target: the artifact's folder.
        bring: brings one file.

    Raises:
        DigestMismatch: what arrived is not what was recorded.
        SpecInvalid: a variant's name or files lead elsewhere, or the folder cannot be written.
    """
    for name, entry in carried.items():
        place = target / VARIANTS / name
        if recorded_digest(place) == entry["digest"] or (not entry["digest"] and place.exists()):
            continue
        try:
            place.parent.mkdir(exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".arriving-", dir=place.parent))
        except OSError as error:
            raise SpecInvalid(str(target), f"cannot hold the variant {name} ({error.strerror})") from None
        try:
            arriving = scratch / name
            for file in entry["files"]:
                path = arriving / Path(file).relative_to(Path(VARIANTS) / name)
                if not path.resolve().is_relative_to(scratch.resolve()):
                    raise ValueError(f"it names {file!r}")
                path.parent.mkdir(parents=True, exist_ok=True)
                bring(file, path)
                path.chmod(0o644)
            if entry["digest"]:
                verify_variant(make_variant(arriving / VARIANT_FILE, read_record(arriving / VARIANT_FILE)))
            arriving.chmod(0o755)
            settle(arriving, place, entry["digest"])
        except ValueError as error:
            raise SpecInvalid(str(target), f"the variant {name} has files elsewhere ({error})") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def settle(arriving: Path, place: Path, digest: str) -> None:
    """Move a variant that arrived to its place, where another of its name goes away; an equal one that somebody else
    brought meanwhile is as good.

    Raises:
        SpecInvalid: the place cannot be taken.
    """
    problem = ""
    for turn in range(TURNS):
        try:
            if place.exists():
                if (recorded_digest(place) or "") == digest:
                    return
                place.rename(arriving.parent / f"before-{turn}")
            arriving.rename(place)
            return
        except OSError as error:  # somebody else was quicker by the moment since it was looked at
            problem = error.strerror or str(error)
    raise SpecInvalid(str(place), f"cannot be replaced ({problem})", remedy="See who writes there, and try again.")


def recorded_digest(place: Path) -> str | None:
    """The digest in the variant.json of a folder; None where there is none to be read."""
    try:
        return str(read_record(place / VARIANT_FILE)["digest"])
    except ModelError:
        return None
