"""One line in the log for a request of the wrong shape: its caller's mistake is no failure of ours."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from models.spec import first_problem

BENTOML_LOGGER = "bentoml._internal.server.http_app"


def quiet_refusals() -> None:
    """Have BentoML log a request that it refuses with 400 as a warning, without a traceback of its own code."""
    logging.getLogger(BENTOML_LOGGER).addFilter(shorten)


def shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ValidationError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "refused a request: %s", (first_problem(error)[:300],)
        record.exc_info = None
    return True
