"""Image classification with a pretrained network: EfficientNet-Lite0 over photos, against hand-written loops."""

from __future__ import annotations

from benchmarks.measure import Say, run_rounds
from benchmarks.peer_process import Entrant
from benchmarks.pictures import photo_rows
from benchmarks.results_file import Comparison, Result, describe_set
from benchmarks.sides import image_loop, model_folder, tandem

TITLE = "Image classification: EfficientNet-Lite0 on photos"
MODEL = "efficientnet-lite0"
ROWS, QUICK_ROWS, GRID_ROWS = 240, 32, 64


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The loops at the best settings of their grids."""
    rows = photo_rows(QUICK_ROWS if quick else ROWS)
    in_torch = Entrant(
        name="hand loop, torch fp32",
        module="torch_images",
        environment="peers",
        settings={"model": str(model_folder(MODEL)), "grid_input": str(rows.path)},
    )
    loops = [image_loop(runtime, rows, model=MODEL, grid_rows=GRID_ROWS) for runtime in ("onnx", "openvino")]
    sides = [in_torch, *loops, tandem("Tandem, fp32", MODEL)]
    taken = run_rounds(sides, rows, rounds=rounds, say=say, warm=photo_rows(QUICK_ROWS))
    comparison = Comparison(title="", rows=describe_set(rows), sides=taken)
    return Result(section="images", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison])
