"""The file of keys: read, checked, and written whole.

Keys are 256 random bits, so a plain SHA-256 of them is as hard to turn back as they are to guess: salt and a slow hash
(scrypt) protect words that people choose, and would cost every request its milliseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.spec import first_problem
from service.door.errors import KeyFileInvalid
from service.door.key import Key, read_rate
from service.door.scope import read_scope

MIB = 1024 * 1024
#: No file of keys is larger: the whole of it is read at once.
MOST_BYTES = 16 * MIB
PREFIX = "tandem_"


class StoredKey(BaseModel):
    """One key as the file has it: everything but the key itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: list[str] = Field(min_length=1)
    rate: str | None = None
    max_body_mb: int | None = Field(default=None, ge=1, le=1024)
    max_rows: int | None = Field(default=None, ge=1)
    created: AwareDatetime | None = Field(default=None, strict=False)
    expires: AwareDatetime | None = Field(default=None, strict=False)

    @field_validator("scopes")
    @classmethod
    def check_scopes(cls, scopes: list[str]) -> list[str]:
        for scope in scopes:
            read_scope(scope)
        return scopes

    @field_validator("rate")
    @classmethod
    def check_rate(cls, rate: str | None) -> str | None:
        if rate is not None:
            read_rate(rate)
        return rate

    @field_validator("created", "expires", mode="before")
    @classmethod
    def check_moment(cls, moment: object) -> object:
        # pydantic takes numbers, and "2030", for seconds since 1970.
        if not (moment is None or isinstance(moment, datetime) or (isinstance(moment, str) and "T" in moment)):
            raise ValueError("expected a moment, such as 2030-01-31T12:00:00Z")
        return moment

    def as_key(self) -> Key:
        return Key(
            name=self.name,
            scopes=tuple(read_scope(scope) for scope in self.scopes),
            rate=read_rate(self.rate) if self.rate else None,
            max_body_bytes=self.max_body_mb * MIB if self.max_body_mb else None,
            max_rows=self.max_rows,
            expires=self.expires,
        )


class KeyFile(BaseModel):
    """All of them."""

    model_config = ConfigDict(extra="forbid")

    keys: list[StoredKey] = Field(default_factory=list)

    @field_validator("keys")
    @classmethod
    def check_names(cls, keys: list[StoredKey]) -> list[StoredKey]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two keys are called {twice[0]}")
        return keys


def read_key_file(path: Path) -> KeyFile:
    """Read and check the file.

    Raises:
        KeyFileInvalid: not there, not ours alone to write, or not of the right shape; says where.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise KeyFileInvalid(path, why="no ordinary file")
            if found.st_mode & 0o022:
                raise KeyFileInvalid(path, why=f"others may write to it (mode {found.st_mode & 0o777:o}); chmod 600 it")
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise KeyFileInvalid(path, why=(error.strerror or "unreadable").lower()) from None
    if len(text) > MOST_BYTES:
        raise KeyFileInvalid(path, why=f"larger than {MOST_BYTES // MIB} MiB")
    try:
        return KeyFile.model_validate_json(text)
    except ValidationError as error:
        raise KeyFileInvalid(path, why=first_problem(error, quoted=False)) from None  # a key may stand there


def change_key_file(path: Path, change: Callable[[KeyFile], KeyFile]) -> None:
    """Replace the file by what `change` makes of it, whole or not at all; it is made where it is not there.

    Two who change it at once wait for each other. A link stays a link: what it leads to is replaced.
    """
    path = path.resolve()
    with locked(path.parent):
        changed = change(read_key_file(path) if path.exists() else KeyFile())
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(changed.model_dump_json(indent=2, exclude_none=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_key() -> str:
    """A new key: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def now() -> datetime:
    return datetime.now(UTC)
