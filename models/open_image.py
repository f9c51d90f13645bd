"""The bytes of an image file, or an array, as a Pillow image that stands upright."""

from __future__ import annotations

import io
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.values import FaultFound, describe, wrong_type

#: What the EXIF orientation asks for, so that the picture stands upright.
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
EXIF_ORIENTATION = 0x0112
#: Formats that are read: those that Pillow has at hand, and those that it has to import.
USUAL = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM")
RARER = ("WEBP", "TIFF", "JPEG2000", "AVIF", "ICO")
#: From so many pixels on an image is large: the largest that is let in takes 360 MB, whatever its file took.
LARGE_PIXELS = 1 << 24
ONE_LARGE = threading.Lock()


def open_image(source: Any) -> Image.Image:
    """The image, which is decoded where its pixels are first asked for.

    Raises:
        FaultFound: no format that Pillow knows, more pixels than its MAX_IMAGE_PIXELS, or an array of no image's shape.
    """
    if isinstance(source, list | tuple | np.ndarray):
        return array_to_image(source)
    if isinstance(source, Image.Image):
        return source
    try:
        return read_header(source)
    except UnidentifiedImageError:
        raise FaultFound(
            "UndecodableImage", f"expected an image that Pillow reads (PNG, JPEG, WebP, ...), found {describe(source)}"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        bound = f"the {Image.MAX_IMAGE_PIXELS} pixels that Pillow's MAX_IMAGE_PIXELS allows"
        raise FaultFound("UndecodableImage", f"expected at most {bound}, found {describe(source)} with more") from None


def read_header(source: Any) -> Image.Image:
    """Find out format and size.

    Of what Pillow knows, formats that run a program (EPS runs Ghostscript), hold no pixels, or are recognised by next
    to nothing are not read.
    """
    try:
        return Image.open(io.BytesIO(source), formats=USUAL)
    except UnidentifiedImageError:
        Image.init()  # imports the other formats, which takes a while the first time
        return Image.open(io.BytesIO(source), formats=[name for name in RARER if name in Image.OPEN])


def unpacking(image: Image.Image) -> AbstractContextManager[Any]:
    """What to hold while an image is decoded and worked on: large ones go one at a time."""
    return ONE_LARGE if image.width * image.height >= LARGE_PIXELS else nullcontext()


def stand_upright(image: Image.Image) -> Image.Image:
    """Decode, and turn as the EXIF orientation says; an image whose EXIF data are damaged stays as it is."""
    image.load()
    try:
        method = ORIENTATIONS.get(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # damaged metadata say nothing of the pixels
        method = None
    return image if method is None else image.transpose(method)


def array_to_image(value: Any) -> Image.Image:
    """Numbers of shape (height, width), (height, width, channels) or (channels, height, width) as an image.

    The channels are 1, 3 or 4, first where the first axis could be they (as transformers infers it). Whole numbers are
    0..255. Floats are 0..1 where none is above 1, else 0..255, and are rounded to Pillow's 8 bits.

    Raises:
        FaultFound: another shape, no numbers, or numbers out of that range.
    """
    try:
        array = np.asarray(value)
    except Exception:
        raise FaultFound("WrongShape", f"expected an array of one height and width, found {describe(value)}") from None
    if array.dtype.kind not in "biuf":
        raise wrong_type("an array of numbers", value)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)) or 0 in array.shape:
        raise FaultFound(
            "WrongShape",
            f"expected (height, width) or 1, 3 or 4 channels first or last, found shape {np.shape(value)}",
        )
    return Image.fromarray(np.ascontiguousarray(array_to_bytes(array[..., 0] if array.shape[2:] == (1,) else array)))


def array_to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers of 0..255 or 0..1 as bytes; see `array_to_image`."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return np.asarray(array * np.uint8(255))
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise FaultFound(
            "UndecodableImage", f"expected numbers from 0 to 255, or floats from 0 to 1, found {low} to {high}"
        )
    if array.dtype.kind == "f" and high <= 1:
        array = array.astype(np.float64) * 255
    rounded: NDArray[np.uint8] = np.rint(array).astype(np.uint8)
    return rounded
