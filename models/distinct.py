"""Distinct: which pieces of a window are equal, so that each kind goes through the model once."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import Encoded, Feature
from models.ragged import Ragged

#: A piece's bytes up to this size are their own key when equal ones are looked for one by one; of larger ones a digest.
SMALL_BYTES = 4096
Kinds = tuple[NDArray[np.int64], NDArray[np.int64]]


def distinct_pieces(encoded: Encoded) -> Kinds:
    """Find equal pieces: the first of each kind, and for every piece the position of its kind in that list.

    Features of one shape lie in one array, and are hashed and compared as a whole; others are looked at one by one.
    """
    arrays = [feature for feature in encoded.features.values() if isinstance(feature, np.ndarray)]
    if len(arrays) == len(encoded.features) and len(encoded.piece_rows):
        hashes = encoded.lengths.astype(np.uint64)
        for array in arrays:
            hashes += hash_rows(array)
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first, inverse = first[order].astype(np.int64), place[inverse].astype(np.int64)
        if len(first) == len(inverse) or all(are_equal(array, first[inverse]) for array in arrays):
            return first, inverse
    return distinct_one_by_one(encoded)


@functools.cache
def factors(count: int) -> NDArray[np.uint64]:
    """Odd random numbers, the same at every call."""
    size = 1 << max(count - 1, 1).bit_length()
    numbers = np.random.default_rng(0).integers(0, 1 << 63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return numbers[:count] if size == count else factors(size)[:count]


def hash_rows(array: NDArray[Any]) -> NDArray[np.uint64]:
    """A number for each entry of the first axis."""
    flat = np.ascontiguousarray(array).reshape(len(array), -1)
    if not flat.size:
        return np.zeros(len(array), np.uint64)
    words = flat.view(next(f"u{size}" for size in (8, 4, 2, 1) if flat.shape[1] * flat.itemsize % size == 0))
    return np.asarray(np.einsum("ij,j->i", words, factors(words.shape[1]), dtype=np.uint64, casting="unsafe"))


def are_equal(array: NDArray[Any], to: NDArray[np.int64]) -> bool:
    """Whether every piece has the bytes of the piece that it is held to be equal to."""
    moved = np.flatnonzero(to != np.arange(len(to)))
    return bool(array[moved].tobytes() == array[to[moved]].tobytes())


def distinct_one_by_one(encoded: Encoded) -> Kinds:
    """The same, by a dictionary of the pieces' bytes."""
    seen: dict[Any, int] = {}
    first: list[int] = []
    inverse = np.empty(len(encoded.piece_rows), dtype=np.int64)
    for piece, key in enumerate(zip(*map(piece_keys, encoded.features.values()), strict=True)):
        if (kind := seen.get(key)) is None:
            kind = seen[key] = len(first)
            first.append(piece)
        inverse[piece] = kind
    return np.asarray(first, dtype=np.int64), inverse


def piece_keys(arrays: Feature) -> Sequence[bytes | tuple[Any, ...]]:
    """A key for each piece of a feature, equal where the pieces are."""
    if isinstance(arrays, Ragged) and arrays.values.ndim == 1:
        joined, size = bytes_of(arrays.values), arrays.values.itemsize
        return [short_key(joined[a:b]) for a, b in itertools.pairwise((arrays.offsets * size).tolist())]
    return [(array.shape, short_key(bytes_of(array))) for array in arrays]


def bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")


def short_key(content: memoryview) -> bytes:
    """The bytes, or of many a digest: to keep them all as keys would hold every image of a window twice."""
    if len(content) <= SMALL_BYTES:
        return bytes(content)
    return hashlib.blake2b(content, digest_size=16).digest()
