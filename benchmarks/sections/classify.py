"""Classification: texts (BBC news) and small images (Fashion-MNIST) against transformers' pipeline and a hand loop."""

from __future__ import annotations

from benchmarks.data import RowSet, bench_cache, describe_rows, write_whole
from benchmarks.measure import Say, run_rounds
from benchmarks.pictures import fashion_rows
from benchmarks.results_file import Comparison, Result, describe_set
from benchmarks.sides import hand_loop, image_pipeline, pipeline, tandem, transformers_images
from models.zoo.datasets import bbc_news

TITLE = "Classification: news by a small BERT, garments by a small ResNet"
FASHION_ROWS, QUICK_FASHION_ROWS = 2000, 400


def news_rows() -> RowSet:
    """The held-out BBC articles: id, text."""
    path = bench_cache() / "news.parquet"
    if not path.is_file():
        write_whole(bbc_news("test").select(["id", "text"]), path)
    return describe_rows(path, "the held-out BBC articles, up to 512 tokens each")


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Two comparisons; quick takes fewer images."""
    result = Result(section="classify", title=TITLE, rounds=rounds, quick=quick)
    news = news_rows()
    pipelines = [pipeline(size, task="text-classification", model="bbc-bert") for size in (1, 32)]
    loops = [hand_loop(runtime, "fp32", news, model="bbc-bert") for runtime in ("onnx", "openvino")]
    taken = run_rounds([*pipelines, *loops, tandem("Tandem, bbc-bert", "bbc-bert")], news, rounds=rounds, say=say)
    result.comparisons.append(Comparison(title="Texts: bbc-bert", rows=describe_set(news), sides=taken))
    garments = fashion_rows(QUICK_FASHION_ROWS if quick else FASHION_ROWS)
    loops = [transformers_images(size) for size in (1, 32)]
    sides = [image_pipeline(1), *loops, tandem("Tandem, fashion-resnet", "fashion-resnet")]
    taken = run_rounds(sides, garments, rounds=rounds, say=say)
    result.comparisons.append(Comparison(title="Images: fashion-resnet", rows=describe_set(garments), sides=taken))
    return result
