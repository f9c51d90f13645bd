"""`python -m service.check`: load what the environment names, let each model answer a row, and end.

BentoML starts a worker that fails at its start again and again, for ever. So the supervisor has a process of its own
try first: what cannot be served is said once, in one line, and `bentoml serve` ends.
"""

from __future__ import annotations

import os
import subprocess
import sys

from models.errors import ModelError
from service.bento import ROOT, models_of_bento
from service.errors import ServiceError
from service.settings import Settings, read_settings

EXIT_CODE = 3


def find_problem(settings: Settings) -> str:
    """Try the models in a process of its own, so that this one stays small; what is wrong, or nothing."""
    environ = os.environ | {
        "TANDEM_MODELS": ",".join(settings.models),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    tried = subprocess.run([sys.executable, "-m", "service.check"], env=environ, capture_output=True, text=True)
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines() or [f"the process ended with {tried.returncode}"]
    return said[-1]


def main() -> int:
    from service.lanes.repository import open_lanes

    try:
        open_lanes(read_settings(os.environ, built_with=models_of_bento())).close()
    except (ModelError, ServiceError) as error:
        print(error, file=sys.stderr)
        return EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())
