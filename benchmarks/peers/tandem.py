"""Tandem itself: `batch.run.run_job` on the same rows into a fresh folder, the model's load and the commit included.

Settings: `job` (of JobSpec; what is not named keeps its default).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch.run import run_job
from benchmarks.peers.protocol import Job, Settings, serve
from models.load import load_model


def load(settings: Settings) -> Job:
    """A job loads its model anew; here only what it imports is, as with the other sides."""
    job_settings = settings["job"]
    wanted = {name: job_settings[name] for name in ("runtime", "precision", "tolerance") if name in job_settings}
    load_model(job_settings["model"], **wanted)

    def job(source: str, target: str) -> Mapping[str, Any]:
        shutil.rmtree(target, ignore_errors=True)
        Path(target).mkdir(parents=True)
        started = time.perf_counter()
        manifest = run_job({**settings["job"], "input": source, "output": target})
        seconds = time.perf_counter() - started
        return {
            "rows": manifest["rows"],
            "error_rows": manifest["error_rows"],
            "seconds": seconds,  # the whole: nothing of it is counted as load
            "load_s": 0.0,
            "variant": manifest["model"]["variant"],
            "run": manifest["run"],
        }

    return job


if __name__ == "__main__":
    serve(load, packages=["tandem-inference", "onnxruntime", "openvino", "tokenizers", "pyarrow", "torch"])
