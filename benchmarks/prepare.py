"""A model store of the benchmarks' own: five models, and the variants that one would make before a long job.

    python -m benchmarks.prepare --fresh    # make everything anew, on a machine that does nothing else

Nothing of it is timed. What is measured while variants are made (speeds, the planner's costs) lies there too, so that a
busy hour's measurements do not follow the machine around. A variant that cannot be made is said; sides that need it are
named in the tables.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.data import RowSet, calibration_rows
from models.add import add_model
from models.errors import ModelNotFound
from models.locate import cache_home, locate_model
from models.zoo.pretrained import PRETRAINED, fetch_pretrained

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 900
#: Model -> the variants that are made of it.
VARIANTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "minilm": (("openvino", "fp32"), ("openvino", "int8"), ("onnx", "int8")),
    "bbc-bert": (("openvino", "fp32"),),
    "fashion-resnet": (("openvino", "fp32"),),
    "efficientnet-lite0": (("openvino", "fp32"),),
    "vowels-bilstm": (),
}


def use_own_store() -> Path:
    """Point this process, and all that it starts, to the benchmarks' own store and measurements."""
    store = cache_home() / "benchmarks" / "store"
    os.environ["BENTOML_HOME"] = str(store / "bentoml")
    os.environ["TANDEM_MEASURED"] = str(store / "measured")
    return store


def prepare_models(say: Callable[[str], None], *, fresh: bool = False) -> None:
    """Make sure that every model and variant is in the store.

    Raises:
        ModelError: a model could not be fetched or added.
    """
    store = use_own_store()
    if fresh:
        shutil.rmtree(store, ignore_errors=True)
    for name, variants in VARIANTS.items():
        if not in_store(name, store):
            say(f"{name}: adding it to the benchmarks' own store")
            add_model(fetch_pretrained(name) if name in PRETRAINED else ROOT / "models" / "zoo" / name, name=name)
        for runtime, precision in variants:
            if not (locate_model(name).folder / "variants" / f"{runtime}-{precision}").is_dir():
                say(f"{name} {runtime} {precision}: {optimize(name, runtime, precision, calibration_rows())}")


def in_store(name: str, store: Path) -> bool:
    """Whether it is there itself, and not only in the zoo."""
    try:
        return locate_model(name).folder.is_relative_to(store)
    except ModelNotFound:
        return False


def optimize(name: str, runtime: str, precision: str, texts: RowSet) -> str:
    """Make a variant by the product's own command; says what came of it."""
    command = ["model", "optimize", name, "--runtime", runtime, "--precision", precision]
    if name == "minilm":
        command += ["--calibration", str(texts.path), "--column", "text=text"]
    start = [sys.executable, "-c", "from batch.cli.main import main; main()"]
    try:
        done = subprocess.run([*start, *command], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"no variant within {TIMEOUT_S} s"
    if done.returncode:
        return f"no variant: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return "made"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare", description="Make the benchmarks' models.")
    parser.add_argument("--fresh", action="store_true", help="remove the store first")
    prepare_models(lambda what: print(time.strftime("%H:%M:%S"), what, flush=True), fresh=parser.parse_args().fresh)


if __name__ == "__main__":
    main()
