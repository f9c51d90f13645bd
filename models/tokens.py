"""Texts -> token ids, by a folder's tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.errors import SpecInvalid
from models.model import RowFault, Values
from models.values import FaultFound, is_null, iterate_values, null_value, wrong_type

EXPECTED = "text"


def load_tokenizer(folder: Path, vocab_size: int | None) -> Tokenizer:
    """The folder's tokenizer.json, without padding or truncation of its own.

    Raises:
        SpecInvalid: it is missing or damaged, or has more tokens than the network.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SpecInvalid(str(folder), "has no tokenizer.json, which a recurrent network over text needs")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises a bare Exception
        raise SpecInvalid(str(path), f"is no tokenizer ({str(error)[:100]})") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if vocab_size is not None and tokenizer.get_vocab_size() > vocab_size:
        raise SpecInvalid(
            str(path), f"has {tokenizer.get_vocab_size()} tokens, config.json has vocab_size {vocab_size}"
        )
    return tokenizer


def read_tokens(values: Values, tokenizer: Tokenizer) -> list[NDArray[np.int64] | RowFault]:
    """Tokenise each text whole; a row that is no text, or has no token, is a fault."""
    rows: list[NDArray[np.int64] | RowFault | None] = []
    texts: list[str] = []
    for value in iterate_values(values):
        try:
            texts.append(read_text(value))
            rows.append(None)
        except FaultFound as error:
            rows.append(error.fault)
    encodings = iter(tokenizer.encode_batch_fast(texts) if texts else ())
    return [row if row is not None else ids_or_fault(next(encodings).ids) for row in rows]


def read_text(value: Any) -> str:
    """A row's text.

    Raises:
        FaultFound: null, another type, or no Unicode: half of a surrogate pair.
    """
    if is_null(value):
        raise null_value(EXPECTED)
    if not isinstance(value, str):
        raise wrong_type(EXPECTED, value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FaultFound(
            "WrongType", f"expected text, found half a surrogate pair (no Unicode) at character {error.start}"
        ) from None
    return value


def ids_or_fault(ids: list[int]) -> NDArray[np.int64] | RowFault:
    if not ids:
        return RowFault(kind="EmptySequence", message="expected at least one token, found none in the text")
    return np.asarray(ids, dtype=np.int64)
