"""The script that one would write for a few rows, as a cold process: `first_answers.py KIND MODEL INPUT OUTPUT`.

KIND is `pipeline` (transformers) or `encode` (sentence-transformers). Nothing is imported that is not needed.
"""

from __future__ import annotations

import sys


def pipeline(model: str, source: str, target: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from transformers import pipeline as make_pipeline

    table = pq.read_table(source)
    pipe = make_pipeline("feature-extraction", model=model, device="cpu")
    options = {"truncation": True, "max_length": 256}
    vectors = []
    for text in table.column("text").to_pylist():
        mean = pipe(text, return_tensors=True, **options)[0].mean(dim=0)
        vectors.append((mean / mean.norm()).tolist())
    pq.write_table(pa.table({"id": table.column("id"), "embedding": pa.array(vectors, pa.list_(pa.float32()))}), target)


def encode(model: str, source: str, target: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]

    table = pq.read_table(source)
    loaded = SentenceTransformer(model, device="cpu")
    vectors = loaded.encode(table.column("text").to_pylist(), show_progress_bar=False, normalize_embeddings=True)
    embedding = pa.array(list(vectors), pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": table.column("id"), "embedding": embedding}), target)


if __name__ == "__main__":
    {"pipeline": pipeline, "encode": encode}[sys.argv[1]](*sys.argv[2:])
