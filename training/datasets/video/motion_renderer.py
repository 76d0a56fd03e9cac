"""Clips whose class is the motion alone: a scene of bright shapes on a dark ground, past which a camera goes.

Every frame of every class shows such a scene from anywhere, at any angle and from any distance. The class says which of
the three changes, and in which direction: all shapes go to one side, turn around the middle, grow or shrink.
"""

import numpy as np
from PIL import Image, ImageDraw

LABELS = ("left", "right", "up", "down", "clockwise", "counterclockwise", "growing", "shrinking")
FRAMES, SIZE = 8, 32

_FIELD = 128  # side of the scene in pixels of a frame
_DETAIL = 2  # times finer the scene is drawn
_SHAPES = 160
_RADII = 2.0, 6.0  # of a shape
_DISTANCE = 0.7, 1.4  # how much larger all is seen in the middle of a clip
_SPEED = 1.2, 2.2  # in pixels a frame: a kernel of 3×3×3 sees where an edge goes
_TURN = 0.12, 0.2  # in radians a frame
_GROWTH = 0.08, 0.12  # logarithm of the factor from frame to frame
_NOISE = 4.0  # standard deviation, of 255
_DARK, _BRIGHT = (0, 80), (120, 256)  # colours of ground and shapes
_SIDES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_TURNS = {"clockwise": 1, "counterclockwise": -1}  # rows run downwards
_GROWS = {"growing": 1, "shrinking": -1}


def clip(label: int, rng: np.random.Generator) -> np.ndarray:
    """Draws one clip.

    Args:
        label: Number of the class.
        rng: What all else is drawn from.

    Returns:
        uint8 FRAMES×SIZE×SIZE×3.
    """
    scene, kind = _scene(rng), LABELS[label]
    angle, distance = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(_DISTANCE)))
    speed, turn, growth = (rng.uniform(*each) for each in (_SPEED, _TURN, _GROWTH))
    frames = []
    for time in np.arange(FRAMES) - (FRAMES - 1) / 2:
        moved = speed * time * np.array(_SIDES.get(kind, (0, 0)))
        seen = distance * np.exp(growth * time * _GROWS.get(kind, 0))
        frames.append(_frame(scene, moved, angle + turn * time * _TURNS.get(kind, 0), seen))
    noisy = np.stack(frames) + rng.normal(0, _NOISE, (FRAMES, SIZE, SIZE, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _scene(rng: np.random.Generator) -> Image.Image:
    """Triangles and discs of all colours at random places, later ones over earlier ones."""
    side = _FIELD * _DETAIL
    image = Image.new("RGB", (side, side), tuple(rng.integers(*_DARK, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        place, radius, start = rng.uniform(0, side, 2), rng.uniform(*_RADII) * _DETAIL, rng.uniform(0, 360)
        colour = tuple(rng.integers(*_BRIGHT, 3).tolist())
        if rng.uniform() < 0.5:
            draw.regular_polygon((*place, radius), 3, rotation=start, fill=colour)
        else:
            draw.ellipse([*(place - radius * 0.8), *(place + radius * 0.8)], fill=colour)
    return image


def _frame(scene: Image.Image, moved: np.ndarray, angle: float, seen: float) -> np.ndarray:
    """What is seen of the scene: enlarged so much, turned around the middle, then moved by so many pixels."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    back = turn * _DETAIL / seen  # from a place of the frame to one of the scene, both from their middles
    middle = (SIZE - 1) / 2
    offset = _FIELD * _DETAIL / 2 - back @ (moved + middle)
    rows = [back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1]]
    size = (SIZE, SIZE)
    return np.asarray(scene.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR), np.float64)
