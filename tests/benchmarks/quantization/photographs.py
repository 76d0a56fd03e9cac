"""Photographs of packages (extra `world`, Debian's wallpapers), and crops of them for calibration and for tests."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

# Package of the Python index or folder of a Debian package, and its files that are photographs, not drawings.
PACKAGES = {
    "skimage/data": "astronaut.png chelsea.png coffee.png motorcycle_left.png rocket.jpg retina.jpg ihc.png "
    "hubble_deep_field.jpg camera.png grass.png gravel.png brick.png coins.png",
    "sklearn/datasets/images": "china.jpg flower.jpg",
}
DEBIAN = {
    "/usr/share/backgrounds": "Infinite-Sea_by_Aury88.jpg Kleiber_by_Lukas_Baubkus.jpg",  # lomiri-wallpapers-20.04
    "/usr/share/wallpapers": "Autumn BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Grey Kite "
    "OneStandsOut Path summer_1am Volna",  # plasma-workspace-wallpapers
}
SIDE = 224  # of a crop in pixels, where nothing else is asked for
_NARROWEST = 0.3  # of the photograph's shorter side that a crop shows at least


def files(folders: list[Path]) -> list[Path]:
    """The photographs that are installed, and all images in more folders."""
    found = []
    for package, names in PACKAGES.items():
        name, _, inside = package.partition("/")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{name} is missing: make world")
        found += [Path(spec.origin).parent / inside / file for file in names.split()]
    for folder, names in DEBIAN.items():
        for file in names.split():
            images = (Path(folder) / file / "contents" / "images").glob("*x*")
            whole = [path for path in images if path.is_file() and not path.is_symlink()]
            found += whole or [Path(folder) / file]
    found += [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in found if path.is_file()]


def draw(paths: list[Path], count: int, seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Crops of one half of the photographs, and as many of the other half: uint8 N×side×side×3 each."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    first, second = (_crops([paths[place] for place in half], count, rng, side) for half in halves)
    return first, second


def _crops(paths: list[Path], count: int, rng: np.random.Generator, size: int) -> np.ndarray:
    crops = []
    for place, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        for _ in range(count // len(paths) + (place < count % len(paths))):
            shorter = min(image.size)
            least = min(max(size, _NARROWEST * shorter), shorter)
            side = int(np.exp(rng.uniform(np.log(least), np.log(shorter))))
            left, top = (int(rng.integers(length - side + 1)) for length in image.size)
            crop = image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side), 2.0)
            crops.append(np.asarray(crop)[:, :: rng.choice([1, -1])])
    return np.stack(crops)
