"""Why two models make other tokens of the same text: the maximal length, lower-casing, or another tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.model import Encoded, Model
from models.parity.discrepancy import Discrepancy
from models.values import cut

Pieces = Mapping[int, Sequence[NDArray[Any]]]


def find_token_fault(
    reference: Model, variant: Model, texts: Mapping[int, str], one: Pieces, other: Pieces, feature: str
) -> Discrepancy:
    """Name what makes the tokens of these texts differ.

    Args:
        reference: whose tokens are right.
        variant: whose are compared.
        texts: row -> text, of the rows that differ.
        one: row -> token ids of each of its pieces, in the reference.
        other: the same in the variant.
        feature: which of the arrays differs; token ids come first.
    """
    if feature not in ("input_ids", "inputs"):
        row = next(iter(texts))
        return Discrepancy(stage="encoding", cause=feature, row=row, what=f"{feature} of its tokens are not the same")
    most = [max(len(pieces[0]) for pieces in rows.values()) for rows in (one, other)]
    not_cut = [row for row in texts if not is_cut(one[row][0], other[row][0], *most)]
    if not not_cut:
        return name_length(reference, variant, next(iter(texts)), one, other)
    left = {row: texts[row] for row in not_cut}
    return find_case(reference, variant, left) or name_token(reference, variant, not_cut[0], one, other)


def is_cut(one: NDArray[Any], other: NDArray[Any], most: int, other_most: int) -> bool:
    """Whether one is the other with something left out, as cutting off leaves it: no row of its side is longer."""
    if len(one) > len(other):
        one, other, most = other, one, other_most
    if len(one) == len(other) or len(one) < most:
        return False
    return common_start(one, other) + common_start(one[::-1], other[::-1]) >= len(one)


def common_start(one: NDArray[Any], other: NDArray[Any]) -> int:
    """How many elements two arrays have in common at their beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def name_length(reference: Model, variant: Model, row: int, one: Pieces, other: Pieces) -> Discrepancy:
    """The limits of both, and what they make of one row."""
    limits = [limit_of(model) for model in (reference, variant)]
    lengths = [len(pieces[row][0]) for pieces in (one, other)]
    what = f"{lengths[0]} tokens in the reference and {lengths[1]} in the variant"
    if limits[0] != limits[1]:
        what += f": the maximal length is {limits[0]} and {limits[1]}"
    return Discrepancy(stage="encoding", cause="maximal length", row=row, what=what)


def limit_of(model: Model) -> int | None:
    """Tokens, or steps, that a model takes of a row."""
    limit: int | None = getattr(model, "max_length", None) or model.spec.max_length
    return limit


def fold(text: str) -> str:
    """Lower case, accents stripped: what BERT's normalisers call lower-casing."""
    letters = unicodedata.normalize("NFD", text.lower())
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")


def find_case(reference: Model, variant: Model, texts: Mapping[int, str]) -> Discrepancy | None:
    """Whether the one makes of the text what the other makes of it in lower case, in most of the rows that differ."""
    lowered: list[Callable[[str], str]] = [str.lower, fold]
    for lower in lowered:
        for folds, keeps, said in (
            (reference, variant, "the reference lower-cases it, the variant does not"),
            (variant, reference, "the variant lower-cases it, the reference does not"),
        ):
            right = keeps.encode([lower(text) for text in texts.values()])
            left = folds.encode(list(texts.values()))
            same = [row for place, row in enumerate(texts) if same_tokens(left, right, place)]
            if len(same) > len(texts) / 2:
                what = f"{said} ({cut(texts[same[0]], 40)!r})"
                return Discrepancy(stage="encoding", cause="lower-casing", row=same[0], what=what)
    return None


def same_tokens(one: Encoded, other: Encoded, row: int) -> bool:
    """Whether the ids of a row's tokens are equal in both."""
    name = next(iter(one.features))
    left, right = (
        [encoded.features[name][int(piece)] for piece in np.flatnonzero(encoded.piece_rows == row)]
        for encoded in (one, other)
    )
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def name_token(reference: Model, variant: Model, row: int, one: Pieces, other: Pieces) -> Discrepancy:
    """The first token that differs, and both vocabularies' sizes."""
    first, second = (np.concatenate(pieces[row]) for pieces in (one, other))
    place = common_start(first, second)
    said = []
    for who, model, ids in (("the reference", reference, first), ("the variant", variant, second)):
        tokenizer = tokenizer_of(model)
        vocabulary = f"{who}'s vocabulary of {tokenizer.get_vocab_size()}" if tokenizer else who
        said.append(f"{name_id(tokenizer, ids, place)} in {vocabulary}")
    what = f"token {place} is {said[0]}, {said[1]}: another tokenizer, or another revision of it"
    return Discrepancy(stage="encoding", cause="tokenizer", row=row, what=what)


def name_id(tokenizer: Tokenizer | None, ids: NDArray[Any], place: int) -> str:
    """A token and its id, as far as there is one."""
    if place >= len(ids):
        return "none"
    token = tokenizer.id_to_token(int(ids[place])) if tokenizer else None
    return f"{token!r} (id {ids[place]})" if token is not None else f"id {ids[place]}"


def tokenizer_of(model: Model) -> Tokenizer | None:
    """The tokenizer that a text model reads with."""
    found = getattr(model, "tokenizer", None)
    found = getattr(found, "tokenizer", found)
    return found if isinstance(found, Tokenizer) else None
