"""transformers' `pipeline`, as its documentation shows it: rows in arrival order, a batch size.

Settings: `model` (folder), `task`, `column`, `batch_size`, `max_length` (for texts).
Its feature-extraction returns a vector for each token; mean pooling is done here, as everybody does it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import normalized, read_rows, write_embeddings, write_labels


def load(settings: Settings) -> Job:
    """Load the pipeline on the CPU, which takes both cores by itself."""
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call,unused-ignore]
    task = settings["task"]
    options: dict[str, Any] = {}
    if task == "feature-extraction":
        options["tokenize_kwargs"] = {"truncation": True, "max_length": settings["max_length"]}
    pipe = transformers.pipeline(task, model=settings["model"], device="cpu", dtype="float32", **options)
    size = settings["batch_size"]

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, settings["column"])
        if task == "feature-extraction":
            return write_embeddings(target, ids, embed(pipe, values, settings))
        if task == "text-classification":
            answers = pipe(values, batch_size=size, truncation=True, max_length=settings["max_length"])
        else:
            answers = [best[0] for best in pipe(open_images(values), batch_size=size, top_k=1)]
        return write_labels(target, ids, [a["label"] for a in answers], [a["score"] for a in answers])

    return job


def embed(pipe: Any, texts: list[str], settings: Settings) -> Any:
    """The mean of the token vectors, length one. Padding, which only batches have, counts for nothing.

    The pipeline does not say which vectors are padding, so the rows are tokenised once more for their lengths: less
    than one part in a hundred of the time.
    """
    import numpy as np

    ids = pipe.tokenizer(texts, truncation=True, max_length=settings["max_length"])["input_ids"]
    answers = pipe((text for text in texts), batch_size=settings["batch_size"], return_tensors=True)
    means = [tokens[0, : len(row)].mean(dim=0).numpy() for tokens, row in zip(answers, ids, strict=True)]
    return normalized(np.stack(means))


def open_images(values: list[bytes]) -> list[Any]:
    from PIL import Image

    return [Image.open(io.BytesIO(value)) for value in values]


if __name__ == "__main__":
    serve(load, packages=["transformers", "torch", "tokenizers", "pillow"])
