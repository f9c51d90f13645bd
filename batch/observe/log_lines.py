"""Log lines: text for people, or one JSON object a line for machines (`--log json`)."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal

Form = Literal["text", "json"]

_form: Form = "text"


def set_up_logging(form: Form) -> None:
    """Write to stderr from now on as text or as JSON lines; may be called again, and the last call counts.

    Warnings of libraries become log lines too where lines are JSON, and so does what ends the process: whoever reads
    stderr as JSON lines finds nothing else there.
    """
    global _form
    _form = form
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("tandem").setLevel(logging.INFO)
    logging.captureWarnings(form == "json")
    sys.excepthook = log_crash if form == "json" else show_crash


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command's words ask for JSON lines: known before they are parsed, so that a mistake in them is one."""
    said = [word.partition("=")[2] for word in words if word.startswith("--log=")]
    said += [after for word, after in pairwise(words) if word == "--log"]
    return said[-1:] == ["json"]


class Lines(logging.Formatter):
    """A record in the form that was chosen last."""

    def format(self, record: logging.LogRecord) -> str:
        if _form == "text":
            clock = time.strftime("%H:%M:%S", time.localtime(record.created))
            line = f"{clock} {record.levelname} {said(record.getMessage())}"
            return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
        event = getattr(record, "event", None)
        facts: dict[str, object] = dict(getattr(record, "facts", {}))
        if event is None:
            event, facts = "message", {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json_line(record.levelname, str(event), facts, at=record.created)

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's name)
        return said(super().formatException(ei), whole=True)


def said(text: str, *, whole: bool = False) -> str:
    """A text as it may go out, without secrets and without what a terminal obeys; in one line, or `whole`."""
    try:
        from models.say import hide_secrets, one_line
    except ImportError:  # another package named models, which is what is to be said
        return " ".join(text.split())
    return hide_secrets(text) if whole else one_line(text)


def json_line(level: str, event: str, facts: Mapping[str, object], *, at: float | None = None) -> str:
    """One object: time, level, event, then the facts; a fact that has one of the three names does not hide it."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    opening = {"time": moment.isoformat(timespec="milliseconds"), "level": level.lower(), "event": event}
    line = json.dumps({**opening, **{name: fact for name, fact in facts.items() if name not in opening}}, default=str)
    return said(line, whole=True)


def warning_line(message: str) -> str:
    """A warning, written without logging: its lock may be held by whom a signal interrupted."""
    if _form == "json":
        return json_line("warning", "message", {"message": message})
    return f"{time.strftime('%H:%M:%S')} WARNING {message}"


def error_line(message: str, *, exit_code: int) -> str:
    """The last line of a command that failed."""
    message = said(message)
    if _form == "json":
        return json_line("error", "failed", {"exit_code": exit_code, "message": message})
    return f"tandem: {message}"


def log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught, as one line instead of many."""
    logging.getLogger("tandem").critical("%s", error, exc_info=(kind, error, trace))


def show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a mistake of ours, but no secret in it."""
    sys.stderr.write(said("".join(traceback.format_exception(kind, error, trace)), whole=True))


def in_words(facts: Mapping[str, object]) -> str:
    """Facts as a text line shows them; those that hold several numbers are for machines."""
    return " ".join(f"{name}={fact}" for name, fact in facts.items() if not isinstance(fact, Mapping))
