"""MiniLM's graph behind ONNX Runtime, as a team would write it into a server: texts in, vectors out.

Environment: `BENCH_MODEL` (folder with tokenizer.json), `BENCH_GRAPH` (the ONNX file), `BENCH_MAX_LENGTH`. One thread:
the servers are held to one core.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


class Embedder:
    """Texts to vectors of length one."""

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(Path(os.environ["BENCH_MODEL"]) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(int(os.environ["BENCH_MAX_LENGTH"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_GRAPH"], options, providers=["CPUExecutionProvider"]
        )
        self.names = [one.name for one in self.session.get_inputs()]
        self.embed(["warm"] * 2)

    def embed(self, texts: list[str]) -> Any:
        """Vectors, (texts, dimension)."""
        encodings = self.tokenizer.encode_batch_fast(texts)
        shape = (len(encodings), max(len(encoding) for encoding in encodings))
        feed = {name: np.zeros(shape, np.int64) for name in self.names}
        for row, encoding in enumerate(encodings):
            feed["input_ids"][row, : len(encoding)] = encoding.ids
            feed["attention_mask"][row, : len(encoding)] = 1
        vectors = self.session.run(None, feed)[0]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
