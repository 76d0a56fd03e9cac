"""Draws the images of the embedded data set `shapes`: one geometric shape among clutter, colour, texture and noise.

An image is a function of (seed, split, index) alone. Only NumPy and Pillow are imported, so that this file also runs as
a program: a renderer that streams PNG images to the TFDS builder (shapes.py) without TensorFlow in its process.
"""

import contextlib
import io
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LABELS = ("arrow", "bolt", "crescent", "cross", "disc", "heart", "ring", "square", "star", "triangle")
SIZE = 96
TILT = np.pi / 7  # rotation to either side, in radians
SUPERSAMPLE = 2  # edges are drawn at twice the size, then averaged


def label_of(index: int) -> int:
    """The class of image `index` of any split: classes take turns, so every split is balanced."""
    return index % len(LABELS)


def example(seed: int, split: int, index: int, size: int = SIZE) -> np.ndarray:
    """Draws image `index` of split number `split`.

    Returns:
        uint8 of shape (size, size, 3); the same for the same arguments, whatever was drawn before.
    """
    return render(label_of(index), np.random.default_rng([seed, split, index]), size)


def render(label: int, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Draws one shape on a cluttered background.

    Colours, textures, place, size, rotation and everything else but the outline come from `rng` in the same way for
    every class, so that only the outline tells the class.

    Args:
        label: The class, an index into LABELS.
        rng: The source of every random choice.
        size: Height and width in pixels.

    Returns:
        RGB pixels, uint8 of shape (size, size, 3).
    """
    background, figure = two_colours(rng)
    canvas = texture(background, rng, size)
    clutter(canvas, rng)
    radius = canvas.width * rng.uniform(0.26, 0.38)
    centre = canvas.width * rng.uniform(0.37, 0.63, 2)
    rings = [ring * radius + centre for ring in pose(outline(label, rng), rng)]
    canvas.paste(texture(figure, rng, size), mask=silhouette(rings, canvas.width))
    occlude(canvas, centre, radius, rng)
    return photograph(canvas.reduce(SUPERSAMPLE), rng)


def stream(seed: int, split: int, count: int, workers: int = 2, program: str = __file__) -> Iterator[bytes]:
    """Yields images 0..count−1 of a split as PNG files, drawn by `workers` processes of their own.

    The processes run a file that ends in `write_images`, this one by default, rather than fork or re-import the
    caller's program: neither TensorFlow's threads nor a script without a `__main__` guard can disturb them. They end
    with the generator, or when this process dies.
    """
    with contextlib.ExitStack() as stack:
        renderers = []
        for first in range(workers):
            arguments = [str(value) for value in (seed, split, first, count, workers)]
            renderer = subprocess.Popen([sys.executable, "-P", program, *arguments], stdout=subprocess.PIPE)
            stack.enter_context(renderer)  # waits for its end
            stack.callback(renderer.kill)
            renderers.append(renderer.stdout)
        for index in range(count):
            pipe = renderers[index % workers]
            assert pipe is not None
            header = pipe.read(4)
            if len(header) < 4:
                raise RuntimeError(f"a renderer of the data set stopped before image {index}")
            yield pipe.read(struct.unpack("<I", header)[0])


def two_colours(rng: np.random.Generator) -> np.ndarray:
    """Two RGB colours, the second bright enough against the first for a shape to be seen."""
    while True:
        colours = rng.uniform(20, 235, (2, 3))
        if np.dot(colours[1] - colours[0], (0.299, 0.587, 0.114)) > 60:
            return colours


def texture(colour: np.ndarray, rng: np.random.Generator, size: int) -> Image.Image:
    """A canvas of waves, checks or blotches around a colour."""
    y, x = np.mgrid[0:size, 0:size] / size
    angle = rng.uniform(0, 2 * np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    frequency = 2 * np.pi * rng.uniform(1, 12)
    kind = rng.integers(4)
    if kind == 0:  # a slope of light
        pattern = 2 * u - 1
    elif kind == 1:
        pattern = np.sin(frequency * u)
    elif kind == 2:
        pattern = np.sign(np.sin(frequency * u) * np.sin(frequency * v))
    else:
        coarse = rng.uniform(-1, 1, (rng.integers(4, 13),) * 2).astype(np.float32)
        pattern = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
    swing = rng.normal(0, 10, 3)
    pixels = np.clip(colour + pattern[..., None] * swing, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((size * SUPERSAMPLE,) * 2, Image.Resampling.NEAREST)


def clutter(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Strews strokes, dots and splinters over the background; none has the outline of a class."""
    draw, size = ImageDraw.Draw(canvas), canvas.width
    for _ in range(rng.integers(1, 5)):
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        place = rng.uniform(0, size, 2)
        if rng.random() < 0.5:
            stroke = np.cumsum([place, *rng.normal(0, size / 8, (rng.integers(1, 4), 2))], axis=0)
            draw.line([tuple(point) for point in stroke], colour, width=int(rng.integers(1, size // 32)))
        else:
            splinter = place + rng.normal(0, size / 24, (rng.integers(3, 7), 2))
            draw.polygon([tuple(point) for point in splinter], colour)


def outline(label: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The outline of a class as rings of points (x, y) within the unit circle; a second ring is a hole."""
    name = LABELS[label]
    if name in ("disc", "square", "triangle"):
        return [_circle({"disc": 60, "square": 4, "triangle": 3}[name])]
    if name == "ring":
        return [_circle(60), rng.uniform(0.45, 0.65) * _circle(60)]
    if name == "star":
        points = _circle(10)
        points[1::2] *= rng.uniform(0.36, 0.44)
        return [points]
    if name == "cross":
        arm = rng.uniform(0.26, 0.38)
        quarter = np.array([(0.95, -arm), (0.95, arm), (arm, arm)])
        return [np.concatenate([quarter @ _rotation(turn * np.pi / 2).T for turn in range(4)])]
    if name == "arrow":
        neck, stem, head = rng.uniform(-0.1, 0.2), rng.uniform(0.18, 0.28), rng.uniform(0.65, 0.85)
        half = np.array([(1, 0), (neck, head), (neck, stem), (-1, stem)])
        return [np.concatenate([half, half[:0:-1] * (1, -1)])]
    if name == "bolt":
        half = np.array([(0.2, -1), (-0.6, 0.15), (-0.1, 0.15)])
        return [np.concatenate([half, -half])]
    if name == "crescent":
        shift = rng.uniform(0.4, 0.6)
        tip = np.arccos(shift / 2)  # where a unit circle at (shift, 0) cuts the outline
        outer = np.linspace(tip, 2 * np.pi - tip, 40)
        inner = np.linspace(np.pi + tip, np.pi - tip, 40)
        points = np.concatenate([_on_circle(outer), _on_circle(inner) + np.array((shift, 0))])
        return [points + np.array((shift / 2, 0))]
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)  # the heart curve everyone draws
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([16 * np.sin(t) ** 3, -2.5 - y], axis=1) / 16]


def _on_circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _circle(corners: int) -> np.ndarray:
    return _on_circle(np.linspace(0, 2 * np.pi, corners, endpoint=False))


def pose(rings: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Gives an outline the area all share, so that brightness tells no class; turns it and looks at it aslant."""
    angle, lean = rng.uniform(-TILT, TILT), rng.uniform(0, np.pi)
    stretch = np.diag([1, rng.uniform(0.8, 1)])
    view = _rotation(lean) @ stretch @ _rotation(angle - lean)
    unit = np.sqrt(abs(_area(rings[0])) - sum(abs(_area(hole)) for hole in rings[1:]))
    return [ring @ view.T * (1.2 / unit) for ring in rings]


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _rotation(angle: float) -> np.ndarray:
    return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])


def silhouette(rings: list[np.ndarray], size: int) -> Image.Image:
    """The mask of a shape: its first ring filled, the others cut out (pixels of the supersampled canvas)."""
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    for order, ring in enumerate(rings):
        draw.polygon([tuple(point) for point in ring], fill=0 if order else 255)
    return mask


def occlude(canvas: Image.Image, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """Lays up to two bars across the shape: a stranger's finger, a branch."""
    for _ in range(rng.integers(2)):
        bar(canvas, centre, radius, rng, 0.9, (0.5, 2), (0.1, 0.3))


def bar(
    canvas: Image.Image,
    centre: np.ndarray,
    radius: float,
    rng: np.random.Generator,
    offset: float,
    lengths: tuple[float, float],
    widths: tuple[float, float],
) -> None:
    """Lays a bar of any colour and angle across a shape.

    Args:
        canvas: What it is drawn on.
        centre: That of the shape, x and y in pixels.
        radius: Likewise.
        rng: The source of every random choice.
        offset: How far from the centre it passes at most; this and the others in radii.
        lengths: Least and greatest half length.
        widths: Least and greatest width.
    """
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    angle = rng.uniform(0, 2 * np.pi)
    along, across = _on_circle(np.array([angle, angle + np.pi / 2]))
    middle = centre + across * radius * rng.uniform(-offset, offset)
    reach = along * radius * rng.uniform(*lengths)
    ends = [tuple(middle - reach), tuple(middle + reach)]
    ImageDraw.Draw(canvas).line(ends, colour, width=int(radius * rng.uniform(*widths)))


def photograph(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """What a poor camera makes of the scene: exposure, vignette-free haze, blur and sensor noise."""
    if rng.random() < 0.5:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    pixels = np.asarray(canvas, np.float32)
    exposure, haze = rng.uniform(0.75, 1.2), rng.uniform(-15, 15)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(2, 9)
    return np.clip(pixels * np.float32(exposure) + np.float32(haze) + noise, 0, 255).astype(np.uint8)


def write_images(draw: Callable[[int, int, int], np.ndarray]) -> None:
    """Writes every `step`-th image of a split to standard output: a length of four bytes, then a PNG file.

    Args:
        draw: Function of seed, split and index to uint8 pixels; the program's arguments say of which.
    """
    seed, split, first, count, step = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that reads; it ends this one
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly when nobody reads any more
    for index in range(first, count, step):
        png = io.BytesIO()
        Image.fromarray(draw(seed, split, index)).save(png, "PNG", compress_level=1)
        sys.stdout.buffer.write(struct.pack("<I", png.tell()) + png.getvalue())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    write_images(example)
