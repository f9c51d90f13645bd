"""Texts of exactly so many tokens, where the corpora hold too few: the beginnings of longer ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def cut_pieces(texts: Iterable[str], tokens: int, count: int, tokenizer: Any, *, besides: Iterable[str]) -> list[str]:
    """The first `tokens` tokens of each text, special ones included, until there are `count` different ones.

    A cut within a word may change how it is split: a piece is tokenised again, and left out where its length is
    another. Fewer come back where the texts do not give so many.

    Args:
        texts: longer than `tokens`.
        tokens: of each piece, the two special ones included.
        count: how many pieces.
        tokenizer: of the `tokenizers` package.
        besides: texts that no piece may be equal to.
    """
    seen, found = set(besides), list[str]()
    for text in texts:
        if len(found) == count:
            break
        offsets = tokenizer.encode(text).offsets
        if len(offsets) <= tokens:
            continue
        piece = text[: offsets[tokens - 2][1]].strip()  # the first offset is the opening token's
        if piece not in seen and len(tokenizer.encode(piece).offsets) == tokens:
            seen.add(piece)
            found.append(piece)
    return found
