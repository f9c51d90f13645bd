"""Html: elements whose text is escaped unless it was made here; what comes from data can never become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

#: What HTML does not allow in text at all, and halves of characters that no file can hold.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


NOTHING = Html()


def escape(text: str) -> Html:
    """Text as it may stand between tags and in quotes."""
    return text if isinstance(text, Html) else Html(html.escape(FORBIDDEN.sub("\ufffd", text), quote=True))


def tag(name: str, *children: str, **attributes: str | float | None) -> Html:
    """One element. `class_` and `aria_label` are written `class` and `aria-label`; None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(shown(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{''.join(map(escape, children))}</{name}>")


def shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"


def joined(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str | None = None) -> Html:
    """A table; cells that begin with a digit are numbers and stand at the right. It scrolls where it is too wide."""
    names = tag("tr", *(tag("th", name, scope="col") for name in head))
    body = joined(tag("tr", *(cell(value) for value in row)) for row in rows)
    title = tag("caption", caption) if caption else Html()
    inside = tag("table", title, tag("thead", names), tag("tbody", body))
    return tag("div", inside, class_="wide", tabindex="0", role="region", aria_label=caption or ", ".join(head))


def cell(value: str) -> Html:
    return tag("td", value, class_="number" if re.fullmatch(r"-?[\d.,]+( ?%| ms| s| [kMGT]?B)?", value) else None)


def folded(summary: str, *inside: Html) -> Html:
    """What only some want to see."""
    return tag("details", tag("summary", summary), *inside)
