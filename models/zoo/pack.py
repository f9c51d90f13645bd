"""Make a trained folder of the zoo whole, as `tandem model add` would: `python -m models.zoo.pack bbc-bert`.

Run after a training script: it writes model.onnx, tandem.yaml and digest.json beside the weights, so that the model
needs neither torch nor an import step where it is used, and costs.json, so that the first job plans well.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from models.add import add_model
from models.artifact import DIGEST_FILE, VARIANTS
from models.spec import SPEC_FILE
from models.variants import COSTS_FILE, REFERENCE

MADE = ("model.onnx", SPEC_FILE, DIGEST_FILE)
COSTS = Path(VARIANTS) / REFERENCE / COSTS_FILE


def pack(name: str) -> str:
    """Export, check and record one model of the zoo in its own folder; returns its digest."""
    folder = Path(__file__).parent / name
    with tempfile.TemporaryDirectory() as scratch:
        trained = Path(scratch) / "trained"
        shutil.copytree(folder, trained, ignore=shutil.ignore_patterns(*MADE))
        os.environ["BENTOML_HOME"] = str(Path(scratch) / "bentoml")
        added = add_model(trained, name=name)
        (folder / COSTS).parent.mkdir(parents=True, exist_ok=True)
        for file in (*MADE, COSTS):
            shutil.copyfile(added.folder / file, folder / file)
    return added.digest


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(wanted, pack(wanted))
