"""How many tokens texts have, by the model's own tokenizer, for answers that must say so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from models.errors import SpecInvalid
from models.tokenizer import FolderTokenizer


def count_tokens(folder: Path | None, max_length: int | None, texts: Sequence[str]) -> int:
    """Tokens that the model reads of the texts, special ones included; 0 where a model has no tokenizer's file.

    Args:
        folder: the model's artifact; None for an operator's own class.
        max_length: beyond which the model cuts a text off.
        texts: what is counted; the second tokenisation of a text takes about a hundredth of its arithmetic.
    """
    tokenizer = None if folder is None else read_tokenizer(folder, max_length)
    return sum(len(encoding) for encoding in tokenizer.encode(texts)) if tokenizer else 0


@lru_cache(maxsize=32)
def read_tokenizer(folder: Path, max_length: int | None) -> FolderTokenizer | None:
    try:
        return FolderTokenizer(folder, max_length=max_length, on_long="truncate")
    except SpecInvalid:
        return None
