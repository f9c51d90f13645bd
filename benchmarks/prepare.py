"""The models of the benchmarks in the store: added where they are not there, the int8 variant made once.

Nothing of it is timed. A variant that cannot be made is said; the sides that need it are named in the tables.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.data import calibration_rows
from benchmarks.measure import Say
from models.errors import ModelNotFound
from models.locate import locate_model
from models.zoo.pretrained import fetch_pretrained

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED = ("minilm", "efficientnet-lite0")
OPTIMIZED = ("minilm",)
TIMEOUT_S = 900


def prepare_models(say: Say) -> None:
    """Make sure that every model is in the store.

    Raises:
        ModelError: a model could not be fetched or added.
    """
    for name in PRETRAINED:
        try:
            locate_model(name)
        except ModelNotFound:
            from models.add import add_model

            say(f"{name}: adding it to the store")
            add_model(fetch_pretrained(name), name=name)
    for name in OPTIMIZED:
        if not (locate_model(name).folder / "variants" / "openvino-int8").is_dir():
            say(f"{name}: {optimize(name)}")


def optimize(name: str) -> str:
    """Make the int8 variant by the product's own command; says what came of it."""
    command = ["model", "optimize", name, "--runtime", "openvino", "--precision", "int8"]
    command += ["--calibration", str(calibration_rows().path), "--column", "text=text"]
    start = [sys.executable, "-c", "from batch.cli.main import main; main()"]
    done = subprocess.run([*start, *command], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        return f"no int8 variant: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return "int8 variant made"
