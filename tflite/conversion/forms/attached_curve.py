"""The curve of accuracy over latency that a .tflite carries, as JSON in a buffer of its metadata."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.results.trade_off import Point

BUFFER = "ACCURACY_OVER_LATENCY"


def attach(content: bytes, points: Sequence[Point]) -> bytes:
    """A .tflite that carries the curve it was taken from."""
    rows = [asdict(point) for point in points if math.isfinite(point.sqnr_db)]
    return flatbuffer.with_metadata(content, BUFFER, json.dumps(rows).encode())


def attached(content: bytes) -> list[dict[str, Any]]:
    """The points that a .tflite carries, as run.json records them; none where it carries none."""
    return json.loads(flatbuffer.metadata(content, BUFFER) or "[]")
