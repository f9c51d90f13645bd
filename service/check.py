"""`python -m service.check`: load what the environment names, let each model answer a row, and end.

BentoML starts a worker that fails at its start again and again, for ever. So the supervisor has a process of its own
try first: what cannot be served is said once, in one line, and `bentoml serve` ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from models.errors import ModelError
from service.bento import ROOT, models_of_bento
from service.errors import ServiceError
from service.settings import Settings, read_settings
from service.supervise.worker import SUPERVISOR, end_with_supervisor

#: Of a model that cannot be served, and of settings that cannot be followed; as `tandem run` has them.
MODEL, SETTINGS = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the server cannot start, in one line, and the exit code that says whose matter it is."""

    message: str
    exit_code: int


def find_problem(settings: Settings) -> Problem | None:
    """Try the models in a process of its own, so that this one stays small; what is wrong, or nothing."""
    environ = os.environ | {
        "TANDEM_MODELS": ",".join(settings.models),
        SUPERVISOR: str(os.getpid()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    tried = subprocess.run([sys.executable, "-m", "service.check"], env=environ, capture_output=True, text=True)
    if tried.returncode == 0:
        return None
    said = tried.stderr.strip().splitlines() or [f"the process that tried the models ended with {tried.returncode}"]
    return Problem(message=said[-1], exit_code=SETTINGS if tried.returncode == SETTINGS else MODEL)


def main() -> int:
    from service.lanes.repository import open_lanes, open_local_worker

    end_with_supervisor(os.environ)
    try:
        open_lanes(read_settings(os.environ, built_with=models_of_bento()), open_local_worker).close()
    except (ModelError, ServiceError) as error:
        print(error, file=sys.stderr)
        return MODEL if isinstance(error, ModelError) else SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
