"""Text embedding: MiniLM over the mixed-length set in its natural mix, every side once a round."""

from __future__ import annotations

from benchmarks.data import mean_tokens, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import INT8_JOB, hand_loop, infinity, pipeline, sentence_transformers, tandem

TITLE = "Text embedding: MiniLM, natural mix of lengths"
#: Sides that take several times as long get a sample of their own: nobody waits an hour for a round.
ROWS, SLOW_ROWS, WARM_ROWS, QUICK_ROWS = 2400, 600, 200, 160
FP32, INT8 = "Tandem, fp32", "Tandem, int8"


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """All sides; quick leaves out what takes longest, and puts the pipeline beside the others."""
    result = Result(section="text", title=TITLE, rounds=rounds, quick=quick)
    rows = text_rows("natural", QUICK_ROWS if quick else ROWS)
    ours = [tandem(FP32, "minilm"), tandem(INT8, "minilm", **INT8_JOB)]
    torch = sentence_transformers("torch", "fp32")
    backends = [sentence_transformers(b, p) for b in ("onnx", "openvino") for p in ("fp32", "int8")]
    loops = [hand_loop("onnx", "fp32", rows), hand_loop("openvino", "fp32", rows), hand_loop("openvino", "int8", rows)]
    pipelines = [pipeline(1), pipeline(32)]
    sides = [torch, *(pipelines if quick else [*backends, *loops]), *ours]
    warm = text_rows("natural", 64 if quick else WARM_ROWS)
    taken = run_rounds(sides, rows, rounds=rounds, say=say, warm=warm)
    targets = (
        Target(measure="whole job, fp32, against sentence-transformers on torch", ours=FP32, theirs=(torch.name,),
               at_least=3.0, aim=3.5),
        Target(measure="the same at int8", ours=INT8, theirs=(torch.name,), at_least=6.0, aim=10.0),
        Target(measure="int8 against sentence-transformers' own OpenVINO int8", ours=INT8, theirs=(backends[3].name,),
               at_least=1.5),
    )  # fmt: skip
    both = tuple(side.name for side in pipelines)
    slower = (
        Target(measure="fp32 against transformers' pipeline at its best of 1 and 32", ours=FP32, theirs=both,
               at_least=4.0),
        Target(measure="int8 against the same", ours=INT8, theirs=both, at_least=9.0),
    )  # fmt: skip
    described = describe_set(rows, tokens_mean=round(mean_tokens(rows.path), 1))
    judged = (*targets[:2], *slower) if quick else targets
    result.comparisons.append(Comparison(title="", rows=described, sides=taken, targets=judged))
    if quick:
        return result

    few = text_rows("natural", SLOW_ROWS)
    slow = [*pipelines, infinity("torch"), infinity("optimum")]
    taken = run_rounds([*slow, *ours], few, rounds=rounds, say=say, warm=warm)
    described = describe_set(few, tokens_mean=round(mean_tokens(few.path), 1))
    result.comparisons.append(Comparison(title="pipeline and Infinity", rows=described, sides=taken, targets=slower))
    return result
