"""What a model's rows take here, measured before anybody waits for one."""

from __future__ import annotations

import logging
from typing import Any

from models.decode_isolated import decode_isolated
from models.encode_isolated import encode_isolated
from models.errors import ModelError
from models.measure_costs import measure_costs
from models.model import Model
from models.samples import default_samples
from models.window import run_window
from service.schemas import answers_of

log = logging.getLogger("bentoml.tandem")

#: The longest that shapes are timed for; the first calls of a runtime compile and allocate, too.
MEASURE_S = 1.5


def warm_up(model: Model) -> str:
    """Let the model answer rows of its kind, and fit its costs unless this host knows them already.

    The first calls of a runtime allocate and plan, and are slow: nobody should be the one who waits for them.

    Returns:
        `answered`, or the class of the first error row where none of the sample was answered.

    Raises:
        Exception: the model breaks down over whatever it is given.
    """
    values = default_samples(model)
    encoded = encode_isolated(model, values)
    if len(encoded.piece_rows) and not model.costs.calls:
        try:
            model.costs = measure_costs(model, seconds=MEASURE_S)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # a row of ours that the model cannot take is no reason not to serve its own
            log.warning("costs of %s are not known before its first rows: %s", model.tag, error)
    answers = answers_of(decode_isolated(model, run_window(model, encoded).outputs, encoded))
    errors = [str(answer["error"]["class"]) for answer in answers if "error" in answer]
    if len(errors) < len(answers):
        return "answered"
    model.predict_values(values[:1])  # raises where it is the model that does, and not these rows
    return errors[0]


def sample_rows(model: Model) -> list[Any]:
    """The sample's rows that the model takes, those that a window is tried with before requests come."""
    values = default_samples(model)
    faults = encode_isolated(model, values).faults
    return [value for row, value in enumerate(values) if row not in faults]
