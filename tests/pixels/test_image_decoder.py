"""Images of more than 8 bits a channel: as bright as they were drawn, whatever they are stored in."""

import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobilenets import training
from keras_mobilenets.pixels.image_decoder import read_image

LEVELS = np.linspace(0, 1, 32)[None, :] * np.ones((32, 1))  # a ramp from black to white


def stored(bits):
    return np.rint(LEVELS * (2**bits - 1)).astype(np.uint16)


def grey_png(path, values):
    Image.fromarray(values).save(path, "PNG")


def grey_tiff(path, values):
    Image.fromarray(values).save(path, "TIFF")


def big_endian_tiff(path, values):
    Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes()).save(path, "TIFF")


def colour_png(path, values):
    path.write_bytes(tf.io.encode_png(np.dstack([values, values // 2, values * 0])).numpy())


def alpha_png(path, values):
    path.write_bytes(
        tf.io.encode_png(np.dstack([values, values // 2, values * 0, np.full_like(values, 65535)])).numpy()
    )


def grey_alpha_png(path, values):
    path.write_bytes(tf.io.encode_png(np.dstack([values, np.full_like(values, 65535)])).numpy())


def colour_tiff(path, values):
    """Uncompressed, little-endian; Pillow writes no 16-bit colours."""
    pixels = np.dstack([values, values // 2, values * 0]).astype("<u2").tobytes()
    height, width = values.shape
    tags = [(256, width), (257, height), (259, 1), (262, 2), (273, 200), (277, 3), (278, height), (279, len(pixels))]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries.insert(2, struct.pack("<HHII", 258, 3, 3, 190))
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(header.ljust(190, b"\0") + struct.pack("<3H", 16, 16, 16).ljust(10, b"\0") + pixels)


COLOURED = (colour_png, alpha_png, colour_tiff)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("save", [grey_png, grey_tiff, big_endian_tiff, grey_alpha_png, *COLOURED])
def test_a_ramp_of_so_many_bits_is_a_ramp_of_eight(tmp_path, save, bits):
    save(tmp_path / "ramp", stored(bits))
    ramp = read_image(tmp_path / "ramp", 32).astype(int)
    shares = (1, 0.5, 0) if save in COLOURED else (1, 1, 1)
    np.testing.assert_allclose(ramp, np.rint(LEVELS * 255)[..., None] * shares, atol=1.01)


def test_a_data_set_has_one_bit_depth(tmp_path):
    """A dark image of 12 bits beside bright ones stays dark."""
    for name, white in (("dark", 500), ("bright", 4095)):
        (tmp_path / name).mkdir()
        for number in range(20):
            values = np.rint(LEVELS * (white - number)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / name / f"{number}.png")
    data = training.load_data(tmp_path, image_size=32)
    with pytest.warns(UserWarning, match="takes 16-bit images as 12-bit, since none is brighter: 4095 is white"):
        images, labels = data.images("train")
    by_class = {name: images[labels == data.class_names.index(name)].max() for name in ("dark", "bright")}
    assert by_class["bright"] >= 253 and 28 <= by_class["dark"] <= 500 / 4095 * 255 + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.images("test")


def test_a_tag_tells_the_bits_of_a_dark_image(tmp_path):
    Image.fromarray(stored(8)).save(tmp_path / "dark.tif", tiffinfo={281: 4095})
    assert read_image(tmp_path / "dark.tif", 32).max() == 255 >> 4


def test_floats_are_read_from_0_to_1_and_refused_beyond(tmp_path):
    Image.fromarray(LEVELS.astype(np.float32)).save(tmp_path / "unit.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "unit.tif", 32)[..., 1], np.rint(LEVELS * 255))
    Image.fromarray((LEVELS * 300 - 20).astype(np.float32)).save(tmp_path / "other.tif")
    with pytest.raises(ValueError, match="of unknown range"):
        read_image(tmp_path / "other.tif", 32)


def test_integers_beyond_16_bits_are_refused(tmp_path):
    for name, values in (("large", LEVELS * 2**20), ("negative", LEVELS * 2000 - 1000)):
        Image.fromarray(values.astype(np.int32)).save(tmp_path / f"{name}.tif")
        with pytest.raises(ValueError, match=r"its pixels run from .* of unknown range"):
            read_image(tmp_path / f"{name}.tif", 32)


def test_a_tiff_of_32_bits_has_the_depth_of_its_brightest_pixel(tmp_path):
    for bits in (8, 12, 16):
        Image.fromarray(stored(bits).astype(np.int32)).save(tmp_path / "deep.tif")
        np.testing.assert_array_equal(read_image(tmp_path / "deep.tif", 32)[..., 0], stored(bits) >> bits - 8)


def test_the_first_page_of_a_tiff_is_read(tmp_path):
    pages = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "pages.tif", 32)[5, 5], (255, 0, 0))
