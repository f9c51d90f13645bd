"""Figure: one card of the page: a finding as its title, a picture, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass

from batch.page.html import NOTHING, Html, folded, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One card.

    Attributes:
        name: a word for it, unique on the page.
        title: what is found, in a sentence.
        note: how to read the picture, or what is not in it.
        picture: SVG or a table; none where words say it all.
        data: the picture's numbers as a table.
        width: `wide` takes the page's whole width, `double` two cards' where there is room.
    """

    name: str
    title: str
    note: str = ""
    picture: Html = NOTHING
    data: Html = NOTHING
    width: str = ""

    def to_html(self) -> Html:
        inside = [tag("h2", self.title, id=self.name)]
        if self.note:
            inside.append(tag("p", self.note, class_="note"))
        inside.append(self.picture)
        if self.data:
            inside.append(folded("As a table", self.data))
        return tag(
            "section", *inside, class_=f"card {self.width}-card" if self.width else "card", aria_labelledby=self.name
        )
