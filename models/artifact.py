"""An artifact's files: what may be in the folder, and the digest over what is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.errors import ArtifactRefused, DigestMismatch, SpecInvalid
from models.named_files import find_fault

DIGEST_FILE = "digest.json"
#: BentoML writes model.yaml of its own into the store; variants have digests of their own.
NOT_OURS = frozenset({DIGEST_FILE, "model.yaml"})
VARIANTS = "variants"
#: Files that are hashed at once.
HASHERS = 4

PICKLES = frozenset({
    ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".keras", ".npy", ".npz", ".mar",
})  # fmt: skip
CODE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh"})


def model_files(folder: Path) -> Iterator[Path]:
    """Every file that the digest covers, in the order of its path."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and relative.as_posix() not in NOT_OURS and relative.parts[0] != VARIANTS:
            yield path


def refuse_unsafe(folder: Path) -> None:
    """Refuse a folder whose loading could run somebody else's code, or read files elsewhere, before any of it is read.

    Raises:
        ArtifactRefused: names the first file and says what to do.
    """
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(f"{VARIANTS}/."):
            continue  # one that is being made; nothing there is ever loaded
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ArtifactRefused(
                str(folder),
                file=name,
                why=f"it is a link that leaves the folder (to {path.resolve()})",
                remedy="Put the file itself into the folder.",
            )
        if path.suffix.casefold() in PICKLES and not is_weights(path, folder):
            raise ArtifactRefused(
                str(folder),
                file=name,
                why="loading it can run code (pickle)",
                remedy="Save the weights as safetensors (model.save_pretrained does) and remove this file.",
            )
        if path.suffix.casefold() in CODE:
            raise ArtifactRefused(
                str(folder),
                file=name,
                why="an artifact holds no code",
                remedy="Remove it; a model that needs its own code is named as --model package.module:Class instead.",
            )
        if path.is_file() and (why := find_fault(path)):
            raise ArtifactRefused(
                str(folder),
                file=name,
                why=why,
                remedy="Take the model from whoever made it again, or save it anew.",
            )


def is_weights(path: Path, folder: Path) -> bool:
    """Whether a .bin is what OpenVINO keeps the numbers of a variant's graph in: bytes that it maps, and no pickle."""
    parts = path.relative_to(folder).parts
    return len(parts) == 3 and (parts[0], parts[2]) == (VARIANTS, "model.bin")


def hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def compute_digest(files: dict[str, str]) -> str:
    """One digest over the paths and contents of all files."""
    return hashlib.sha256("".join(f"{sha}  {name}\n" for name, sha in sorted(files.items())).encode()).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """Path -> sha256, of a few files at once: hashing leaves the GIL, and two files are most of a model."""
    paths = list(model_files(folder))
    with ThreadPoolExecutor(HASHERS, thread_name_prefix="hash") as pool:
        return {
            path.relative_to(folder).as_posix(): sha
            for path, sha in zip(paths, pool.map(hash_file, paths), strict=True)
        }


def record_digest(folder: Path) -> str:
    """Write digest.json over the files as they are now, and return the digest."""
    files = hash_files(folder)
    digest = compute_digest(files)
    path = folder / DIGEST_FILE
    path.write_text(json.dumps({"digest": digest, "files": files}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    path.chmod(0o644)
    return digest


def verify_digest(folder: Path, *, called: str = "") -> str:
    """Hash every file anew and compare with what was recorded; a folder without a record is taken as it is.

    Args:
        folder: the artifact.
        called: what an error calls it, where the folder is nothing to the one who asked.

    Returns:
        The digest.

    Raises:
        DigestMismatch: a file was changed, added or removed since; the message names it.
        SpecInvalid: digest.json cannot be read.
    """
    files = hash_files(folder)
    digest = compute_digest(files)
    record = folder / DIGEST_FILE
    if not record.is_file():
        return digest
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        expected = {name: str(sha) for name, sha in dict(content["files"]).items()}
        recorded = str(content["digest"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecInvalid(str(record), f"is not a digest record ({error})") from None
    for name in sorted(expected.keys() | files.keys()):
        if expected.get(name) != files.get(name):
            raise DigestMismatch(
                called or str(folder),
                file=name,
                expected=expected.get(name, "(not there)"),
                found=files.get(name, "(gone)"),
            )
    if recorded != digest:
        raise DigestMismatch(called or str(folder), file=DIGEST_FILE, expected=recorded, found=digest)
    return digest
