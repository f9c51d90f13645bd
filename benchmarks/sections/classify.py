"""Classification: texts (BBC news) and small images (Fashion-MNIST) against transformers' pipeline and a hand loop."""

from __future__ import annotations

import pyarrow as pa

from benchmarks.data import RowSet, bench_cache, describe_rows, write_whole
from benchmarks.measure import Say, run_rounds
from benchmarks.pictures import fashion_rows
from benchmarks.results_file import Comparison, Result, describe_set
from benchmarks.sides import hand_loop, image_loop, image_pipeline, pipeline, tandem, transformers_images
from models.zoo.datasets import bbc_news

TITLE = "Classification: news by a small BERT, garments by a small ResNet"
NEWS_ROWS, QUICK_NEWS_ROWS = 1200, 100
FASHION_ROWS, QUICK_FASHION_ROWS, GRID_ROWS = 20_000, 1000, 2048


def news_rows(rows: int) -> RowSet:
    """BBC articles, no text twice, those held out first: id, text."""
    path = bench_cache() / f"news-{rows}.parquet"
    if not path.is_file():
        articles = pa.concat_tables([bbc_news(split).select(["id", "text"]) for split in ("test", "train")])
        first = {text: row for row, text in reversed(list(enumerate(articles.column("text").to_pylist())))}
        write_whole(articles.take(pa.array(sorted(first.values())[:rows])), path)
    return describe_rows(path, "BBC articles, those held out from training first, up to 512 tokens each")


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Two comparisons; quick takes fewer rows, and leaves out the image pipeline, which refuses one channel."""
    result = Result(section="classify", title=TITLE, rounds=rounds, quick=quick)
    news, few = news_rows(QUICK_NEWS_ROWS if quick else NEWS_ROWS), news_rows(QUICK_NEWS_ROWS)
    pipelines = [pipeline(n, task="text-classification", model="bbc-bert") for n in ((32,) if quick else (1, 32))]
    loops = [hand_loop(runtime, "fp32", news, model="bbc-bert", quick=quick) for runtime in ("onnx", "openvino")]
    sides = [*pipelines, *loops, tandem("Tandem, bbc-bert", "bbc-bert")]
    taken = run_rounds(sides, news, rounds=rounds, say=say, warm=few)
    result.comparisons.append(Comparison(title="Texts: bbc-bert", rows=describe_set(news), sides=taken))

    garments = fashion_rows(QUICK_FASHION_ROWS if quick else FASHION_ROWS)
    sides = [*([] if quick else [image_pipeline(1)]), transformers_images(garments, grid_rows=GRID_ROWS)]
    sides += [image_loop(r, garments, model="fashion-resnet", grid_rows=GRID_ROWS) for r in ("onnx", "openvino")]
    sides.append(tandem("Tandem, fashion-resnet", "fashion-resnet"))
    taken = run_rounds(sides, garments, rounds=rounds, say=say, warm=fashion_rows(QUICK_FASHION_ROWS))
    result.comparisons.append(Comparison(title="Images: fashion-resnet", rows=describe_set(garments), sides=taken))
    return result
