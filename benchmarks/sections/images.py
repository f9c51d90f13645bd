"""Image classification with a pretrained network: EfficientNet-Lite0 over photos, against a hand-written torch loop."""

from __future__ import annotations

from benchmarks.measure import Say, run_rounds
from benchmarks.peer_process import Entrant
from benchmarks.pictures import photo_rows
from benchmarks.results_file import Comparison, Result, describe_set
from benchmarks.sides import model_folder, tandem

TITLE = "Image classification: EfficientNet-Lite0 on photos"
ROWS, QUICK_ROWS = 96, 32


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The loop at the best batch size of its grid."""
    rows = photo_rows(QUICK_ROWS if quick else ROWS)
    loop = Entrant(
        name="hand loop, torch fp32",
        module="torch_images",
        environment="peers",
        settings={"model": str(model_folder("efficientnet-lite0")), "grid_input": str(rows.path)},
    )
    taken = run_rounds([loop, tandem("Tandem, fp32", "efficientnet-lite0")], rows, rounds=rounds, say=say)
    comparison = Comparison(title="", rows=describe_set(rows), sides=taken)
    return Result(section="images", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison])
