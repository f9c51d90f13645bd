"""Media types: what a body is, and what its sender wants back."""

from __future__ import annotations

from collections.abc import Sequence

from service.protocols.predict.errors import MediaTypeUnknown, NotAcceptable

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
LINES = "application/x-ndjson"

TABLES = (PARQUET, ARROW_STREAM, ARROW_FILE)
#: What a body may be; lines are answered in lines, all others in whatever of the others is asked for.
TAKEN = (JSON, *TABLES, LINES)
GIVEN = (JSON, *TABLES)


def read_content_type(header: str) -> str:
    """What the body is. One that says nothing is JSON, as curl's users mean it.

    Raises:
        MediaTypeUnknown: none of TAKEN.
    """
    found = header.partition(";")[0].strip().lower()
    if found in {"", "*/*", "application/x-www-form-urlencoded"} and ";" not in header:
        return JSON  # the last is what curl -d says of anything
    if found not in TAKEN:
        raise MediaTypeUnknown(found, taken=TAKEN)
    return found


def choose_answer(accept: str, *, body: str) -> str:
    """What to answer with: the sender's favourite; of equal ones, what he sent himself.

    Args:
        accept: the header; empty is anything.
        body: the media type of what he sent.

    Raises:
        NotAcceptable: he takes nothing that can be given.
    """
    given = (LINES,) if body == LINES else (body, *(media for media in GIVEN if media != body))
    weights = read_accept(accept) or [("*/*", 1.0)]
    best, most = "", 0.0
    for media in given:
        weight = weigh(media, weights)
        if weight > most:
            best, most = media, weight
    if not best:
        raise NotAcceptable(accept, given=given)
    return best


def read_accept(header: str) -> list[tuple[str, float]]:
    """Media ranges and their weights; one whose weight is no number has none."""
    found = []
    for part in header.lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    weight = 0.0
        if media:
            found.append((media, weight))
    return found


def weigh(media: str, weights: Sequence[tuple[str, float]]) -> float:
    """The weight of the range that names it most closely; 0 where none does."""
    for wanted in (media, f"{media.partition('/')[0]}/*", "*/*"):
        found = [weight for name, weight in weights if name == wanted]
        if found:
            return max(found)
    return 0.0
