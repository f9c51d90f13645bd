"""Images as bytes, arrays or URIs -> float32 (channels, height, width), as a model's Preprocess says."""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.model import Encoded, Feature, RowFault, Values
from models.open_image import open_image, stand_upright, unpacking
from models.pixels import ImageTooLarge, LevelsNotFinite, image_to_pixels
from models.say import hide_secrets
from models.spec import Preprocess
from models.uris import UriRefused, path_of
from models.values import FaultFound, cut, describe, is_null, iterate_values, null_value, wrong_type

Fetch = Callable[[str], bytes]

EXPECTED = "an image as encoded bytes, an array, or a URI"

#: URIs that are read at once; they wait for a disk or a network, not for a core.
READERS = 16

#: Below this mean size a thread costs more than it gains: 28 x 28 PNGs take twice as long in two threads as in one.
SMALL_BYTES = 16_384


def encode_images(values: Values, preprocess: Preprocess, fetch: Fetch | None = None) -> Encoded:
    """Read, decode and prepare images; a row that cannot be is a fault, never an exception.

    A value is the bytes of an image file (PNG, JPEG, WebP, ... of any mode; upright by its EXIF orientation; the first
    frame), an array (see `models.open_image` for both), a URI, a `data:` URI, a Pillow image, or the
    `{"bytes": ..., "path": ...}` that Hugging Face datasets write. Rows are worked on in a few threads, since
    Pillow decodes outside the GIL; URIs are read `READERS` at a time.

    Args:
        values: the input column.
        preprocess: how an image becomes numbers.
        fetch: reads a URI. OSError and ValueError of it are the row's fault; anything else, such as a store that is
            down, ends the call. None reads local paths and `file:` URIs only; a service gives one that refuses those.

    Returns:
        The feature `pixel_values`, float32 of (channels, height, width); the length of an image is 1.
    """
    silence_pillow()
    rows = list(iterate_values(values))
    results = run_in_threads(rows, preprocess, fetch or read_local)
    good = [row for row, result in enumerate(results) if not isinstance(result, RowFault)]
    return Encoded(
        rows=len(rows),
        features={"pixel_values": stack_images([result for result in results if not isinstance(result, RowFault)])},
        piece_rows=np.asarray(good, dtype=np.int64),
        lengths=np.ones(len(good), dtype=np.int64),
        truncated=np.zeros(len(rows), dtype=np.bool_),
        faults={row: result for row, result in enumerate(results) if isinstance(result, RowFault)},
    )


def stack_images(images: list[NDArray[np.float32]]) -> Feature:
    """One array of (rows, channels, height, width) where all are of one size; else they stay apart."""
    return np.stack(images) if len({image.shape for image in images}) == 1 else images


def run_in_threads(rows: list[Any], preprocess: Preprocess, fetch: Fetch) -> list[NDArray[np.float32] | RowFault]:
    """Encode the rows, in their order; as many at once are decoded as there are cores, so memory stays bounded."""
    cores = len(os.sched_getaffinity(0))
    threads = READERS if any(isinstance(row, str | dict) for row in rows) else cores
    small = threads == cores and sum(map(size_bytes, rows)) < len(rows) * SMALL_BYTES
    if len(rows) < 2 or threads < 2 or small:
        return [encode_image(row, preprocess, fetch, nullcontext()) for row in rows]
    decoding = BoundedSemaphore(cores)
    with ThreadPoolExecutor(min(threads, len(rows)), thread_name_prefix="images") as pool:
        return list(pool.map(lambda row: encode_image(row, preprocess, fetch, decoding), rows))


def size_bytes(value: Any) -> int:
    """What there is to unpack, as far as it is told without unpacking it."""
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes) else 0


def encode_image(
    value: Any, preprocess: Preprocess, fetch: Fetch, decoding: AbstractContextManager[Any]
) -> NDArray[np.float32] | RowFault:
    """One row; `decoding` is held while a picture is unpacked."""
    try:
        source = read_source(value, fetch)
    except FaultFound as error:
        return error.fault
    try:
        image = open_image(source)
        with decoding, unpacking(image):
            return image_to_pixels(stand_upright(image), preprocess)
    except FaultFound as error:
        return error.fault
    except (ImageTooLarge, LevelsNotFinite) as error:
        return RowFault(kind="UndecodableImage", message=str(error))
    except Exception as error:  # Pillow's decoders raise a dozen types of their own for damaged files
        why = f"{type(error).__name__}: {cut(str(error), 200)}"
        return RowFault(
            kind="UndecodableImage", message=f"expected an image that Pillow reads, found {describe(value)}: {why}"
        )


def read_source(value: Any, fetch: Fetch) -> Any:
    """Bytes, an array or a Pillow image; URIs and datasets' structs are followed to it.

    Raises:
        FaultFound: null, of another type, or a URI that cannot be read.
    """
    if isinstance(value, dict) and value.keys() & {"bytes", "path"}:
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if is_null(value):
        raise null_value(EXPECTED)
    if isinstance(value, str):
        try:
            value = read_data_uri(value) if value.startswith("data:") else fetch(value)
        except (OSError, ValueError) as error:
            uri = cut(hide_secrets(value))
            if isinstance(error, UriRefused):
                raise FaultFound("RefusedUri", f"{uri!r} is not read: {cut(str(error), 200)}") from None
            why = f"{type(error).__name__}: {cut(hide_secrets(str(error)), 200)}"
            raise FaultFound("UnreadableUri", f"cannot read {uri!r}: {why}") from None
    if isinstance(value, bytes | bytearray | memoryview | list | tuple | np.ndarray | Image.Image):
        return value
    raise wrong_type(EXPECTED, value)


def read_local(uri: str) -> bytes:
    """Read a local path or `file:` URI.

    Raises:
        OSError: it cannot be read.
        ValueError: it is on another machine.
    """
    scheme = uri.split("://", 1)[0] if "://" in uri else ""
    if scheme not in ("", "file"):
        raise ValueError(f"no reader for {scheme}:// was given; only local paths can be read here")
    with open(path_of(uri) if scheme else uri, "rb") as file:
        return file.read()


def read_data_uri(uri: str) -> bytes:
    """The bytes in a `data:` URI (RFC 2397), with which a JSON request carries an image."""
    header, comma, data = uri.partition(",")
    if not comma:
        raise ValueError("a data: URI has a comma before its data")
    return base64.b64decode(data, validate=True) if header.endswith(";base64") else unquote_to_bytes(data)


def silence_pillow() -> None:
    """Pillow's warnings are ignored, but that of a decompression bomb is an error, for this process from now on.

    `warnings.catch_warnings` is not safe among threads; adding a filter that is there already changes nothing.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
