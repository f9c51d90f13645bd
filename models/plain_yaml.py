"""YAML from others: plain settings, and never more work than their text is long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MIB = 1 << 20


class NotPlain(ValueError):
    """A file that is no YAML, or more than settings; the message is one line without the file's name."""


class PlainLoader(yaml.SafeLoader):
    """Refuses aliases: a few hundred bytes of them are a structure of gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise NotPlain("it has an alias (*name); write what it stands for")
        found: yaml.Node | None = super().compose_node(parent, index)
        return found


def read_plain(path: Path, *, most_bytes: int = MIB) -> Any:
    """The content of a YAML file.

    Raises:
        NotPlain: it is none, has aliases, is nested too deeply, or is larger than `most_bytes`.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        body = file.read(most_bytes + 1)
    if len(body) > most_bytes:
        raise NotPlain(f"it is larger than {most_bytes:,} bytes")
    try:
        return yaml.load(body.decode("utf-8"), Loader=PlainLoader)
    except NotPlain:
        raise
    except UnicodeDecodeError as error:
        raise NotPlain(str(error)) from None
    except yaml.YAMLError as error:
        raise NotPlain(str(error).splitlines()[0]) from None
    except RecursionError:
        raise NotPlain("it is nested too deeply") from None
    except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
        # A date, number or boolean that its own tag or form promises and that is none: PyYAML lets these through.
        raise NotPlain(f"a value is none of its kind: {str(error).splitlines()[0][:100]}") from None
