"""Images: as transformers prepares them, whatever holds them; what is none is a fault and nothing else."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from models.errors import SpecInvalid
from models.images import encode_images
from models.pixels import check_preprocess
from models.spec import Preprocess

PLAIN = Preprocess(rescale=None)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: What a folder's preprocessor_config.json says, and the same as our Preprocess.
SETTINGS: dict[str, tuple[dict[str, Any], Preprocess]] = {
    "vit": (
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 48}, "resample": 2},
        Preprocess(resize=(64, 48), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
    "vit, not rescaled": (
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "do_rescale": False},
        Preprocess(resize=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), rescale=None),
    ),
    "resnet": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}, "crop_pct": 0.875,
         "resample": 3},
        Preprocess(resize=56, crop_pct=0.875, resample=3, mean=MEAN, std=STD),
    ),
    "convnext, warped": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": 0.95,
         "resample": 3},
        Preprocess(resize=384, crop_pct=0.95, resample=3, mean=MEAN, std=STD),
    ),
    "shortest edge, crop": (
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40}, "resample": 3,
         "do_center_crop": True, "crop_size": {"height": 32, "width": 36}, "do_convert_rgb": True},
        Preprocess(resize=40, crop=(32, 36), resample=3, mean=MEAN, std=STD),
    ),
    "crop of what is smaller": (
        {"image_processor_type": "CLIPImageProcessor", "do_resize": False, "do_center_crop": True,
         "crop_size": {"height": 75, "width": 90}, "do_normalize": False},
        Preprocess(crop=(75, 90)),
    ),
}  # fmt: skip
SIZES = [(97, 61), (61, 97), (64, 48), (33, 200), (7, 5), (90, 75), (150, 151)]


def make_pixels(height: int, width: int, *, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture with noise: resampling and rounding both show in it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / (3 + i) + i) * np.cos(columns / (5 - i)) for i in range(channels)], axis=-1)
    noisy = 127 + 90 * waves + rng.normal(size=waves.shape) * 20
    return np.asarray(noisy.clip(0, 255).astype(np.uint8))


def save(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def pixels_of(value: Any, preprocess: Preprocess = PLAIN) -> NDArray[np.float32]:
    encoded = encode_images([value], preprocess)
    assert not encoded.faults, encoded.faults
    return np.asarray(encoded.features["pixel_values"][0])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_pixels_are_those_of_transformers(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    config, preprocess = SETTINGS[name]
    if preprocess.mean is not None:
        config = config | {"image_mean": preprocess.mean, "image_std": preprocess.std}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert processor.backend == "pil"
    image = Image.fromarray(make_pixels(*size))
    expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
    found = pixels_of(save(image), preprocess)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_pixels_of_one_channel_are_those_of_transformers(tmp_path: Path) -> None:
    config = {"image_processor_type": "ViTImageProcessor", "size": {"height": 28, "width": 28}, "resample": 2,
              "image_mean": [0.286], "image_std": [0.353]}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
    image = Image.fromarray(make_pixels(41, 30, channels=1)[:, :, 0])
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
    found = pixels_of(save(image), Preprocess(mode="L", resize=(28, 28), mean=(0.286,), std=(0.353,)))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"),
     ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "JPEG"), ("RGB", "BMP"), ("RGB", "PPM"), ("I;16", "PNG"),
     ("I;16", "TIFF"), ("F", "TIFF")],
)  # fmt: skip
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_image_of_any_mode_is_read(mode: str, kind: str, wanted: Any) -> None:
    grey = make_pixels(20, 30, channels=1)[:, :, 0]
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32))
    elif mode == "P":
        image = Image.fromarray(grey).quantize(64)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    lossy = kind == "JPEG" or kind == "WEBP" or mode in ("1", "CMYK", "P")
    found = pixels_of(save(image, kind), Preprocess(mode=wanted, rescale=None))
    assert found.shape == ((3 if wanted == "RGB" else 1), 20, 30)
    difference = np.abs(found - grey).mean()
    assert difference < (130 if mode == "1" else 12 if lossy else 1.01)


def test_16_bit_greys_keep_their_upper_8_bits() -> None:
    grey = make_pixels(9, 8, channels=1)[:, :, 0]
    image = Image.fromarray(grey.astype(np.uint16) * 256 + 255)
    np.testing.assert_array_equal(pixels_of(save(image), Preprocess(mode="L", rescale=None))[0], grey)


def test_transparent_palette_is_read_without_a_warning() -> None:
    image = Image.fromarray(make_pixels(12, 12)).quantize(16)
    coloured = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    data = save(image, transparency=bytes(range(0, 160, 10)))
    np.testing.assert_array_equal(pixels_of(data), coloured)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_stands_upright_by_its_exif_orientation(orientation: int, kind: str) -> None:
    upright = np.zeros((16, 32), dtype=np.uint8)
    upright[:8, :8] = 255  # a light corner tells all eight apart
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),  # is shown turned to the right, so it is stored turned to the left
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    found = pixels_of(data, Preprocess(mode="L", rescale=None))[0]
    assert found.shape == upright.shape
    np.testing.assert_allclose(found, upright, atol=30)


def test_damaged_exif_data_do_not_spoil_the_picture() -> None:
    image = Image.fromarray(make_pixels(16, 16))
    data = save(image, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fgarbage", quality=100)
    assert pixels_of(data).shape == (3, 16, 16)


COLOURED, GREY = make_pixels(10, 14), make_pixels(10, 14, channels=1)[:, :, 0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (COLOURED, COLOURED),
        (COLOURED.transpose(2, 0, 1), COLOURED),
        (COLOURED.tolist(), COLOURED),
        (COLOURED.astype(np.float32), COLOURED),
        (COLOURED.astype(np.float32) / 255, COLOURED),
        (COLOURED.astype(np.int64), COLOURED),
        (np.dstack([COLOURED, GREY]), COLOURED),
        (GREY, np.dstack([GREY] * 3)),
        (GREY[None], np.dstack([GREY] * 3)),
        (GREY[:, :, None].tolist(), np.dstack([GREY] * 3)),
        (GREY > 127, np.dstack([(GREY > 127) * 255] * 3)),
        (bytearray(save(Image.fromarray(COLOURED))), COLOURED),
        (memoryview(save(Image.fromarray(COLOURED))), COLOURED),
        (Image.fromarray(COLOURED), COLOURED),
        ({"bytes": save(Image.fromarray(COLOURED)), "path": None}, COLOURED),
        ("data:image/png;base64," + base64.b64encode(save(Image.fromarray(COLOURED))).decode(), COLOURED),
    ],
)
def test_image_is_the_same_whatever_holds_it(value: Any, expected: NDArray[Any]) -> None:
    np.testing.assert_array_equal(pixels_of(value), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([COLOURED.tolist(), None, COLOURED[:4].tolist()], pa.list_(pa.list_(pa.list_(pa.uint8())))),
        pa.array([COLOURED.tolist(), None, COLOURED[:4].tolist()], pa.large_list(pa.list_(pa.list_(pa.float32(), 3)))),
        pa.array([save(Image.fromarray(COLOURED)), None, save(Image.fromarray(COLOURED[:4]))], pa.binary()),
        pa.array([save(Image.fromarray(COLOURED)), None, save(Image.fromarray(COLOURED[:4]))], pa.large_binary()),
        pa.array([save(Image.fromarray(COLOURED)), None, save(Image.fromarray(COLOURED[:4]))]).dictionary_encode(),
        pa.array(
            [{"bytes": save(Image.fromarray(COLOURED)), "path": "a.png"}, None, {"bytes": None, "path": "no.png"}]
        ),
    ],
    ids=lambda column: str(column.type),
)
def test_arrow_column_is_read_as_its_python_values_are(column: Any) -> None:
    for values in (column, pa.chunked_array([column[:1], column[1:]]), pa.concat_arrays([column, column])[2:5]):
        encoded = encode_images(values, PLAIN)
        expected = encode_images(values.to_pylist(), PLAIN)
        assert encoded.faults == expected.faults
        assert encoded.piece_rows.tolist() == expected.piece_rows.tolist()
        for found, wanted in zip(encoded.features["pixel_values"], expected.features["pixel_values"], strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_column_of_fixed_shape_tensors_is_read() -> None:
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([COLOURED, 255 - COLOURED]))
    first, second = encode_images(column, PLAIN).features["pixel_values"]
    np.testing.assert_array_equal(first, COLOURED.transpose(2, 0, 1))
    np.testing.assert_array_equal(second, 255.0 - COLOURED.transpose(2, 0, 1))


GOOD = save(Image.fromarray(COLOURED))
PHOTO = save(Image.fromarray(make_pixels(200, 200)), "JPEG")


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (None, "NullValue", "found null"),
        (float("nan"), "NullValue", "found null"),
        ({"bytes": None, "path": None}, "NullValue", "found null"),
        (7, "WrongType", "found int 7"),
        (True, "WrongType", "found bool True"),
        ({"a": 1}, "WrongType", "found dict {'a': 1}"),
        (object(), "WrongType", "found a value of type object"),
        (["x", "y"], "WrongType", "expected an array of numbers"),
        ([[1, None]], "WrongType", "expected an array of numbers"),
        (b"", "UndecodableImage", "found 0 bytes"),
        (b"<svg></svg>", "UndecodableImage", "found 11 bytes that start with b'<svg></svg>'"),
        (PHOTO[: len(PHOTO) // 2], "UndecodableImage", "truncated"),
        (GOOD[:60] + b"\xff" * 40 + GOOD[100:], "UndecodableImage", "found"),
        ([[0, 300]], "UndecodableImage", "found 0 to 300"),
        ([[0.5, float("nan")]], "UndecodableImage", "found nan to nan"),
        ([[1, 2], [3]], "WrongShape", "found list"),
        ([1, 2, 3], "WrongShape", "found shape (3,)"),
        (np.zeros((5, 5, 2)), "WrongShape", "found shape (5, 5, 2)"),
        (np.zeros((0, 5)), "WrongShape", "found shape (0, 5)"),
        ("no/such/file.png", "UnreadableUri", "cannot read 'no/such/file.png': FileNotFoundError"),
        ("s3://bucket/key.png", "UnreadableUri", "only local paths can be read here"),
        ("data:image/png;base64,!", "UnreadableUri", "cannot read 'data:image/png;base64,!'"),
    ],
)
def test_bad_image_is_a_fault_and_its_neighbours_are_answered(value: Any, kind: str, says: str) -> None:
    encoded = encode_images([GOOD, value, GOOD], PLAIN)
    assert encoded.piece_rows.tolist() == [0, 2]
    assert encoded.faults[1].kind == kind
    assert says in encoded.faults[1].message
    assert len(encoded.faults[1].message) < 400
    assert encode_images([value], PLAIN).faults == {0: encoded.faults[1]}


@pytest.mark.parametrize("allowed", [30 * 40 - 1, 30 * 40 // 2 - 1])
def test_decompression_bomb_is_a_fault_without_a_warning(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", allowed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoded = encode_images([save(Image.fromarray(make_pixels(30, 40)))], PLAIN)
    assert not caught
    assert encoded.faults[0].kind == "UndecodableImage"
    assert f"at most the {allowed} pixels" in encoded.faults[0].message


def test_image_that_would_be_resized_beyond_all_bounds_is_a_fault() -> None:
    stripe = save(Image.fromarray(np.zeros((1, 60_000), dtype=np.uint8)))
    (fault,) = encode_images([stripe], Preprocess(resize=224, crop=(224, 224))).faults.values()
    assert fault.kind == "UndecodableImage"
    assert "60000 x 1 pixels resized to a shortest edge of 224" in fault.message


def test_local_path_and_file_uri_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a picture.png"
    path.write_bytes(GOOD)
    for uri in (str(path), path.as_uri(), {"bytes": None, "path": str(path)}):
        np.testing.assert_array_equal(pixels_of(uri), COLOURED.transpose(2, 0, 1))


def test_given_fetch_reads_every_uri_and_what_it_raises_is_that_rows_fault(tmp_path: Path) -> None:
    path = tmp_path / "local.png"
    path.write_bytes(GOOD)

    def fetch(uri: str) -> bytes:
        if not uri.startswith("s3://pictures/"):
            raise PermissionError("only s3://pictures/ may be read")
        return GOOD

    encoded = encode_images(["s3://pictures/a.png", str(path), "s3://pictures/b.png"], PLAIN, fetch)
    assert encoded.piece_rows.tolist() == [0, 2]
    assert encoded.faults[1].kind == "UnreadableUri"
    assert "PermissionError: only s3://pictures/ may be read" in encoded.faults[1].message


def test_uris_are_read_at_once_and_stay_in_order() -> None:
    pictures = {f"s3://b/{i}": save(Image.fromarray(np.full((2, 2, 3), i, dtype=np.uint8))) for i in range(8)}
    together = threading.Barrier(8, timeout=10)

    def fetch(uri: str) -> bytes:
        together.wait()  # passes only once all eight are under way
        time.sleep(0.01 * (8 - int(uri[-1])))
        return pictures[uri]

    encoded = encode_images(list(pictures), PLAIN, fetch)
    assert [int(pixels[0, 0, 0]) for pixels in encoded.features["pixel_values"]] == list(range(8))


def test_photos_in_threads_stay_in_order() -> None:
    photos = [save(Image.fromarray(make_pixels(120 + i, 130, seed=i))) for i in range(12)]
    assert sum(map(len, photos)) > 12 * 16_384
    heights = [pixels.shape[1] for pixels in encode_images(photos, PLAIN).features["pixel_values"]]
    assert heights == list(range(120, 132))


def test_no_rows_are_no_pieces() -> None:
    encoded = encode_images([], PLAIN)
    assert (encoded.rows, len(encoded.piece_rows), len(encoded.features["pixel_values"])) == (0, 0, 0)


def test_mean_that_does_not_fit_the_mode_is_refused() -> None:
    with pytest.raises(SpecInvalid, match=r"folder: preprocess\.mean has 3 numbers, mode 'L' has 1 channels"):
        check_preprocess(Preprocess(mode="L", mean=MEAN), where="folder")
    with pytest.raises(SpecInvalid, match="std must not hold 0"):
        check_preprocess(Preprocess(std=(0.0,)), where="folder")
