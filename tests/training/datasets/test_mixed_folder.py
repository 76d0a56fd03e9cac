"""A folder of images as people have them, of many formats and some damage: every pixel right, nothing lost, it trains.

What a file shows is known, for the test draws it; TensorFlow's decoders, which the package does not use, are asked too.
"""

import io
import json
import os
import struct
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image, ImageChops

from keras_mobilenets import UserError, preprocess_input, training
from keras_mobilenets.cli import main
from keras_mobilenets.pixels.image_decoder import center_crop, read_image
from keras_mobilenets.training.datasets import dataset as loading

COLOURS = {"blå": (30, 40, 210), "grau": (128, 128, 128), "grün": (30, 180, 40), "red 🍎": (210, 30, 40)}
SIZE = 32


def picture(colour, width=64, height=48, seed=0):
    """A colour with a white mark at the upper left and a black one at the lower left: no turn of it looks the same."""
    pixels = np.full((height, width, 3), colour, np.uint8)
    pixels = (pixels * np.random.default_rng(seed).uniform(0.95, 1.05)).clip(0, 255).astype(np.uint8)
    pixels[: height // 3, width // 6 : width // 2] = 255
    pixels[-height // 3 :, width // 6 : width // 3] = 0
    return pixels


def as_stored(shown, orientation):
    """How a camera stores what is to be shown, by the EXIF standard's words for row 0 and column 0 of the file."""
    turned = shown.swapaxes(0, 1)
    return {
        1: shown,  # row 0 is the top, column 0 the left side
        2: shown[:, ::-1],  # top, right
        3: shown[::-1, ::-1],  # bottom, right
        4: shown[::-1],  # bottom, left
        5: turned,  # left, top
        6: turned[::-1],  # right, top
        7: turned[::-1, ::-1],  # right, bottom
        8: turned[:, ::-1],  # left, bottom
    }[orientation]


def jpeg(pixels, **options):
    return encoded(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", quality=97, subsampling=0, **options)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rotated(pixels, orientation, kind="JPEG", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(as_stored(pixels, orientation)))
    more = {"quality": 97, "subsampling": 0} if kind == "JPEG" else {}
    return encoded(stored, kind, exif=exif, **more | options)


def odd_exif(pixels):
    """Turned by 6, among tags whose types are wrong, as some programs write them."""
    entries = struct.pack("<H", 2) + struct.pack("<HHII", 0x010F, 3, 1, 7) + struct.pack("<HHII", 0x0112, 3, 1, 6)
    stored = jpeg(as_stored(pixels, 6))
    segment = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries + struct.pack("<I", 0)
    return stored[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + stored[2:]


def cmyk(pixels):
    """As Adobe's programs store it: inverted, with their marker. (So does Pillow.)"""
    return encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=97, subsampling=0)


def plain_cmyk(pixels):
    """As libjpeg's own tools store it: not inverted, without the marker."""
    content = encoded(ImageChops.invert(Image.fromarray(pixels).convert("CMYK")), "JPEG", quality=97, subsampling=0)
    start = content.index(b"\xff\xee")
    end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    assert content[start + 4 : start + 9] == b"Adobe"
    return content[:start] + content[end:]


def ycck(pixels):
    """As Photoshop stores CMYK by default: inverted, its first three channels as luminance and chroma."""
    *inks, black = Image.fromarray(pixels).convert("CMYK").split()
    luminance_and_chroma = Image.merge("RGB", inks).convert("YCbCr").split()
    stored = Image.merge(
        "CMYK", (*map(ImageChops.invert, luminance_and_chroma), black)
    )  # Pillow inverts what it stores
    content = bytearray(encoded(stored, "JPEG", quality=97, subsampling=0))
    content[content.index(b"Adobe") + 11] = 2  # the transform: YCCK
    return bytes(content)


def grey16(pixels):
    return encoded(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG")


def see_through(pixels):
    """The white mark is a hole."""
    alpha = np.where((pixels == 255).all(axis=-1), 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([np.where(alpha[..., None], pixels, 99), alpha]).astype(np.uint8))


def palette(pixels):
    return Image.fromarray(pixels).quantize(16, dither=Image.Dither.NONE)


def palette_with_hole(pixels):
    image = palette(pixels)
    colours = np.array(image.getpalette()).reshape(-1, 3)
    white = int((colours == 255).all(axis=1).argmax())
    colours[white] = (1, 2, 3)
    image.putpalette(colours.ravel().tolist())
    return encoded(image, "PNG", transparency=white)


PNG = {"kind": "PNG"}
COLOURFUL = {
    "baseline.jpg": jpeg,
    "progressive.JPEG": lambda p: jpeg(p, progressive=True),
    **{f"turned {number}.jpg": lambda p, number=number: rotated(p, number) for number in range(1, 9)},
    "turned 6.png": lambda p: rotated(p, 6, "PNG"),
    "turned 8.webp": lambda p: rotated(p, 8, "WEBP", lossless=True),
    "turned 5.tif": lambda p: rotated(p, 5, "TIFF"),
    "odd exif.jpe": odd_exif,
    "adobe cmyk.jpg": cmyk,
    "plain cmyk.JPG": plain_cmyk,
    "ycck.jfif": ycck,
    "cmyk.tiff": lambda p: encoded(Image.fromarray(p).convert("CMYK"), "TIFF"),
    "rgb.PNG": lambda p: encoded(Image.fromarray(p), "PNG"),
    "rgba.png": lambda p: encoded(see_through(p), "PNG"),
    "palette.png": lambda p: encoded(palette(p), "PNG"),
    "palette hole.png": palette_with_hole,
    "lossy.webp": lambda p: encoded(Image.fromarray(p), "WEBP", quality=95),
    "alpha.webp": lambda p: encoded(see_through(p), "WEBP", lossless=True),
    "still.gif": lambda p: encoded(palette(p), "GIF"),
    "windows.bmp": lambda p: encoded(Image.fromarray(p), "BMP"),
    "a png.jpg": lambda p: encoded(Image.fromarray(p), "PNG"),  # a suffix that is wrong
    "ünï çödé 📷.jpg": jpeg,
    "new\nline.png": lambda p: encoded(Image.fromarray(p), "PNG"),
    "-rf 'quote\" %d {}.jpg": jpeg,
    os.fsdecode(b"latin1 \xe9.jpg"): jpeg,
    "deep/er/nested.jpg": jpeg,
}
GREY = {
    "grey.jpg": lambda p: encoded(Image.fromarray(p[..., 0]), "JPEG", quality=97),
    "grey.png": lambda p: encoded(Image.fromarray(p[..., 0]), "PNG"),
    "grey16.png": grey16,
    "grey alpha.png": lambda p: encoded(see_through(p).convert("LA"), "PNG"),
    "grey.webp": lambda p: encoded(Image.fromarray(p[..., 0]).convert("RGB"), "WEBP", quality=95),
    "grey16.tif": lambda p: encoded(Image.fromarray(p[..., 0].astype(np.uint16) * 257), "TIFF"),
    "rgb.jpg": jpeg,
}


def one_bit(_):
    """Every other column white."""
    return encoded(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (48, 32))).convert("1"), "PNG")


def independent(content):
    """The picture that TensorFlow's decoders give: red, green and blue over white; None of what it cannot read."""
    if content[:2] == b"\xff\xd8":
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    if content[:4] == b"\x89PNG":
        pixels = tf.io.decode_png(content)
    elif content[8:12] == b"WEBP":
        pixels = tf.io.decode_webp(content)
    elif content[:2] == b"BM":
        return tf.io.decode_bmp(content).numpy()
    elif content[:3] == b"GIF":
        return tf.io.decode_gif(content).numpy()[0]
    else:
        return None
    pixels = np.squeeze(pixels.numpy())  # those of WebP are frames
    if pixels.ndim == 2:
        return np.dstack([pixels] * 3)
    colours, alpha = np.split(pixels, [3 if pixels.shape[-1] > 2 else 1], axis=-1)
    share = alpha / 255 if alpha.size else 1
    return np.broadcast_to((colours * share + 255 * (1 - share)).round(), (*pixels.shape[:2], 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "write", "colour"),
    [(name, write, colour) for name, write in COLOURFUL.items() for colour in ("grün", "red 🍎")]
    + [(name, write, "grau") for name, write in GREY.items()],
    ids=lambda value: ascii(value) if isinstance(value, str) else "",
)
def test_each_format_shows_what_was_drawn_and_what_another_reader_sees(name, write, colour, tmp_path):
    shown = picture(COLOURS[colour])
    path = tmp_path / name.replace("/", "_")
    path.write_bytes(write(shown))
    found = read_image(path, 24).astype(int)
    assert np.abs(found - center_crop(shown, 24)).mean() < 3
    theirs = independent(path.read_bytes())
    orientation = int(name[7]) if name.startswith("turned") else 6 if name.startswith("odd") else 1
    back = {6: 8, 8: 6}.get(orientation, orientation)  # what turns it back
    if theirs is None:
        assert path.suffix in (".tif", ".tiff")
    else:
        assert np.abs(found - center_crop(np.ascontiguousarray(as_stored(theirs, back)), 24)).mean() < 2


def test_one_bit_images_and_large_photos_that_are_reduced_while_they_are_read(tmp_path):
    (tmp_path / "bits.png").write_bytes(one_bit(None))
    assert set(np.unique(read_image(tmp_path / "bits.png", 48))) == {0, 255}
    shown = picture(COLOURS["grün"], 1280, 960)
    (tmp_path / "large.jpg").write_bytes(rotated(shown, 6))
    assert np.abs(read_image(tmp_path / "large.jpg", 24).astype(int) - center_crop(shown, 24)).mean() < 3


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The folder; its good files and its damaged ones."""
    folder, good, damaged = tmp_path_factory.mktemp("fotos 📁"), [], []
    for label, colour in COLOURS.items():
        forms = GREY if label == "grau" else COLOURFUL
        for number in range(10 if forms is GREY else 2):
            for name, write in forms.items():
                path = folder / label / (f"{number} {name}" if "/" not in name else name.replace("nested", str(number)))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(write(picture(colour, 64 + 8 * number, 48, seed=number)))
                good.append(path)
        (folder / label / "linked.jpg").symlink_to(good[-1])
        good.append(folder / label / "linked.jpg")
        whole = jpeg(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
        for name, content in {
            "empty.jpg": b"",
            "half.jpg": whole[: len(whole) // 2],
            "half.png": encoded(Image.fromarray(picture(colour)), "PNG")[:80],
            "text.JPG": b"I am a shopping list\n",
            "page.png": b"<!DOCTYPE html><title>404</title>",
        }.items():
            (folder / label / name).write_bytes(content)
            damaged.append(folder / label / name)
        (folder / label / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
        damaged.append(folder / label / "dangling.jpg")
        for name in (".DS_Store", "._0 baseline.jpg", "Thumbs.db", ".hidden/x.jpg", "__MACOSX/x.jpg"):
            (folder / label / name).parent.mkdir(exist_ok=True)
            (folder / label / name).write_bytes(b"\0\5\26\7 of the system")
        (folder / label / "a folder.jpg").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / ".git").mkdir()
    (folder / "red 🍎" / "notes.txt").write_text("nice ones")
    (folder / "README.md").write_text("my photos")
    return folder, good, damaged


@pytest.mark.filterwarnings("ignore:skipped", "ignore:.*left out")
@pytest.mark.parametrize("in_memory", [True, False])
def test_every_good_file_is_in_one_split_with_its_colour(mixed, in_memory, monkeypatch):
    monkeypatch.setattr(loading, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    folder, good, damaged = mixed
    data = training.load_data(folder, image_size=SIZE, batch_size=16)
    assert data.class_names == sorted(COLOURS)
    splits = [data.images(split) for split in ("train", "validation", "test")]
    images, labels = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    files = sum(data.count(split) for split in ("train", "validation", "test"))
    assert len(images) == len(good) and files == len(good) + (0 if in_memory else len(damaged))
    expected = np.array([COLOURS[data.class_names[label]] for label in labels])
    assert np.abs(images[:, SIZE // 2, -4].astype(int) - expected).max() < 20


def by_fit(folder, run):
    """A small network, which TensorFlow has ready in a moment."""
    data = training.load_data(folder, image_size=SIZE, batch_size=16)
    keras.utils.set_random_seed(0)
    x = image = keras.Input((SIZE, SIZE, 3))
    for layer in (layers.Conv2D(16, 3, strides=2), layers.BatchNormalization(momentum=0.8), layers.ReLU()):
        x = layer(x)
    x = layers.Dense(len(data.class_names), activation="softmax")(layers.GlobalAveragePooling2D()(x))
    recipe = training.Recipe(epochs=10, learning_rate=0.05)
    training.fit(keras.Model(image, x, name="small"), data, recipe, run, verbose=0)


def by_one_command(folder, run):
    options = ["--size", str(SIZE), "--batch-size", "16", "--epochs", "5", "--learning-rate", "0.01"]
    command = ["train", "MobileNetV1", "--alpha", "0.25", *options, "--bn-momentum", "0.8"]
    assert main([*command, "--data", str(folder), "--run", str(run)]) == 0


@pytest.mark.parametrize("train", [by_fit, pytest.param(by_one_command, marks=pytest.mark.slow)])
def test_a_mixed_folder_trains_and_a_new_photo_is_recognized(mixed, tmp_path, train):
    folder, _, damaged = mixed
    run = tmp_path / "run"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(folder, run)
        training.load_data(folder, image_size=SIZE).images("test")  # the split that a training leaves alone
    said = {str(warning.message) for warning in caught}
    for path in damaged:
        assert sum(line.startswith(f"skipped {path}: ") for line in said) == 1
    assert sum(line.startswith("skipped ") for line in said) == len(damaged)
    assert sum(int(line.split()[0]) for line in said if "cannot be read and are left out" in line) == len(damaged)
    assert sum("left out 1 file(s) whose names are not of images: 1 .txt" in line for line in said) == 1
    model, names = training.load_model(run / "model.keras"), json.loads((run / "run.json").read_text())["data"]
    for number, (label, colour) in enumerate(COLOURS.items()):
        content = jpeg(picture(colour, 50, 80, seed=9)) if label == "grau" else ycck(picture(colour, 50, 80, seed=9))
        (tmp_path / f"new {number}.jpg").write_bytes(content)
        image = preprocess_input(read_image(tmp_path / f"new {number}.jpg", SIZE)[None])
        assert names["class_names"][int(model.predict(image, verbose=0).argmax())] == label


def test_a_class_whose_name_cannot_be_written_is_refused(mixed, tmp_path):
    for name in ("a", "b\nc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(one_bit(None))
    with pytest.raises(UserError, match=r"class folder 'b\\nc' .* cannot be written; rename it"):
        training.load_data(tmp_path)
