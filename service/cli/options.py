"""Flags made of settings: each says what its variable says, and goes before it."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

import click

from service.setting import Setting
from service.settings import MODELS

#: What a setting's metavar says where its value is a place in the file system.
PLACES = ("FILE", "FOLDER")


class SettingType(click.ParamType[str]):
    """Text that the setting can read, kept as it was written."""

    def __init__(self, setting: Setting[Any]) -> None:
        self.name, self._setting = setting.metavar, setting

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            self._setting.read(value)
        except ValueError as error:
            raise click.UsageError(f"{self._setting.flag}={value!r}: expected {error}.", ctx) from None
        return value


class SettingOption(click.Option):
    """A flag made of a setting."""


def setting_options(settings: Iterable[Setting[Any]]) -> list[click.Parameter]:
    """An option for each setting."""
    return [make_option(setting) for setting in settings]


def make_option(setting: Setting[Any]) -> SettingOption:
    help_text = f"{setting.help}{default_of(setting)} [{setting.variable}]"
    if not setting.metavar:
        return SettingOption([setting.flag], is_flag=True, default=None, help=help_text)
    return SettingOption([setting.flag], type=SettingType(setting), metavar=setting.metavar, help=help_text)


def default_of(setting: Setting[Any]) -> str:
    """What is the case where nothing is said, unless the setting's own words tell."""
    is_plain = isinstance(setting.default, str | int | float) and not isinstance(setting.default, bool)
    return f" Default: {setting.default}." if is_plain and "Default:" not in setting.help else ""


def store_setting(setting: Setting[Any], said: str | bool | None, environ: MutableMapping[str, str]) -> None:
    """Put what a flag says into the environment, where the server's processes read it.

    Places are made absolute, those that the variable names too: the processes run in another folder.
    """
    value = environ.get(setting.variable, "") if said is None else "1" if said is True else str(said)
    if value and setting is MODELS:
        value = ",".join(absolute_model(name.strip()) for name in value.split(","))
    elif value not in ("", "-", "off") and setting.metavar.startswith(PLACES):
        value = str(Path(value).expanduser().absolute())
    if value:
        environ[setting.variable] = value


def absolute_model(name: str) -> str:
    """A model's folder by its whole path; every other name as it is."""
    is_folder = ("/" in name or name.startswith((".", "~"))) and "://" not in name
    return str(Path(name).expanduser().absolute()) if is_folder else name
