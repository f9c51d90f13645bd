"""Text embedding: MiniLM over the mixed-length set in its natural mix, every side once a round."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.data import mean_tokens, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.peer_process import Entrant
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import INT8_JOB, hand_loop, infinity, pipeline, sentence_transformers, tandem

TITLE = "Text embedding: MiniLM, natural mix of lengths"
#: What the targets are about runs over the most rows; sides that take several times as long, and the many others, get
#: samples of their own: nobody waits an hour for a round.
ROWS, OTHER_ROWS, SLOW_ROWS, WARM_ROWS, QUICK_ROWS = 4800, 1200, 600, 200, 160
FP32, INT8 = "Tandem, fp32", "Tandem, int8"


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Three comparisons; quick has one of few rows, without the other backends, the loops and Infinity."""
    result = Result(section="text", title=TITLE, rounds=rounds, quick=quick)
    ours = [tandem(FP32, "minilm"), tandem(INT8, "minilm", **INT8_JOB)]
    torch, int8 = sentence_transformers("torch", "fp32"), sentence_transformers("openvino", "int8")
    pipelines = [pipeline(1), pipeline(32)]
    warm = text_rows("natural", 64 if quick else WARM_ROWS)
    targets = (
        Target(measure="whole job, fp32, against sentence-transformers on torch", ours=FP32, theirs=(torch.name,),
               at_least=3.0, aim=3.5),
        Target(measure="the same at int8", ours=INT8, theirs=(torch.name,), at_least=6.0, aim=10.0),
        Target(measure="int8 against sentence-transformers' own OpenVINO int8", ours=INT8, theirs=(int8.name,),
               at_least=1.5),
    )  # fmt: skip
    both = tuple(side.name for side in pipelines)
    slower = (
        Target(measure="fp32 against transformers' pipeline at its best of 1 and 32", ours=FP32, theirs=both,
               at_least=4.0),
        Target(measure="int8 against the same", ours=INT8, theirs=both, at_least=9.0),
    )  # fmt: skip

    def compare(title: str, mix_rows: int, sides: Sequence[Entrant], judged: Sequence[Target]) -> None:
        rows = text_rows("natural", mix_rows)
        taken = run_rounds([*sides, *ours], rows, rounds=rounds, say=say, warm=warm)
        described = describe_set(rows, tokens_mean=round(mean_tokens(rows.path), 1))
        result.comparisons.append(Comparison(title=title, rows=described, sides=taken, targets=tuple(judged)))

    if quick:
        compare("", QUICK_ROWS, [torch, *pipelines], [*targets[:2], *slower])
        return result
    compare("", ROWS, [torch, int8], targets)
    others = text_rows("natural", OTHER_ROWS)
    backends = [sentence_transformers(b, p) for b, p in (("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"))]
    loops = [hand_loop(r, p, others) for r, p in (("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "int8"))]
    compare("other backends and hand-written loops", OTHER_ROWS, [*backends, *loops], ())
    compare("pipeline and Infinity", SLOW_ROWS, [*pipelines, infinity("torch"), infinity("optimum")], slower)
    return result
