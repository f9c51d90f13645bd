"""Setting: one thing that the operator may say, by a variable of the environment or by a flag of `tandem serve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import SettingsInvalid

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)  # no slots: calling Setting[int](...) sets __orig_class__
class Setting(Generic[Value]):
    """One setting. Every room lists its own in its `settings.py`; `tandem serve` makes its flags of them.

    Attributes:
        variable: in the environment, such as `TANDEM_THREADS`.
        flag: of `tandem serve`, such as `--threads`.
        read: text -> value; a ValueError says what was expected.
        default: where nothing is said.
        help: the line in `tandem serve --help`.
        metavar: what stands for the value there; empty for a flag without one, which sets the variable to 1.
    """

    variable: str
    flag: str
    read: Callable[[str], Value]
    default: Value
    help: str
    metavar: str = "TEXT"

    def of(self, environ: Mapping[str, str]) -> Value:
        """What the environment says.

        Raises:
            SettingsInvalid: something that cannot be followed.
        """
        found = environ.get(self.variable, "").strip()
        if not found:
            return self.default
        try:
            return self.read(found)
        except ValueError as error:
            raise SettingsInvalid(f"{self.variable} ({self.flag})", found=found, expected=str(error)) from None


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return read


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return found

    return read


def yes(text: str) -> bool:
    """A switch: 1, true, yes or on; 0, false, no or off."""
    if text.lower() not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ValueError("1 or 0")
    return text.lower() in {"1", "true", "yes", "on"}


def names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
