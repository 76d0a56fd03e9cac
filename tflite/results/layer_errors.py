"""What int8 made of each activation, as a record, a table and a file; reading it needs no runtime."""

import math
from dataclasses import dataclass
from pathlib import Path

from keras_mobilenets import files


@dataclass(frozen=True)
class LayerError:
    """What int8 made of one activation.

    Attributes:
        index: Which operator of the int8 file gives it, from 0.
        operator: Its name, such as "CONV_2D".
        layer: The Keras layer.
        sqnr_db: Signal to quantization noise; None where both are the same or the signal is zero.
        cosine: Of the angle between the float and the int8 values, −1 to 1; None where one is zero throughout.
        bias: Mean of int8 minus float. This and what follows is NaN in what was read from layer_errors.json.
        scale: One int8 step.
        used: Share of the int8 range that the float values span, 0..1; above 1 they are clipped.
    """

    index: int
    operator: str
    layer: str
    sqnr_db: float | None
    cosine: float | None
    bias: float = math.nan
    scale: float = math.nan
    used: float = math.nan


@dataclass(frozen=True)
class LayerErrors:
    """The errors of all int8 activations that have a counterpart in the float model.

    Attributes:
        path: The int8 file.
        errors: In the order of execution. Errors add up on the way: what matters is where the SQNR drops.
        activations: How many int8 activations the file has.
        images: How many images were run.
    """

    path: Path
    errors: tuple[LayerError, ...]
    activations: int
    images: int

    def worst(self, count: int) -> list[LayerError]:
        """The activations with the lowest SQNR, the worst first."""
        return sorted(self.errors, key=lambda e: math.inf if e.sqnr_db is None else e.sqnr_db)[:count]

    def save(self, path: str | Path) -> Path:
        """Puts the figures into a JSON file, under the stem of the int8 file, beside those of other files."""
        path = Path(path)
        known = files.read_json(path) if path.exists() else {}
        keys = ("index", "operator", "layer", "sqnr_db", "cosine")
        rows = [{key: getattr(error, key) for key in keys} for error in self.errors]
        return files.write_json(path, known | {self.path.stem: rows})

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {len(self.errors)} of {self.activations} int8 activations compared on {self.images} images",
            f"{'layer':34} {'operator':18} {'SQNR dB':>8} {'cosine':>8} {'bias/step':>9} {'range used':>10}",
        ]
        for e in self.worst(len(self.errors)):
            sqnr, cosine = ("–" if x is None else f"{x:.{n}f}" for x, n in ((e.sqnr_db, 1), (e.cosine, 5)))
            lines.append(f"{e.layer:34} {e.operator:18} {sqnr:>8} {cosine:>8} {e.bias / e.scale:9.2f} {e.used:10.0%}")
        return "\n".join(lines)
