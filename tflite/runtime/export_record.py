"""What an exported file says of itself: the metadata of an ONNX file, the runtime information of an OpenVINO one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from keras_mobilenets.pixels.scaling import PixelScaling

Quantization = tuple[float, int]  # scale and zero point; scale 0 of a float


@dataclass(frozen=True)
class ExportRecord:
    """What a viewer or a deployment needs to know beside the graph.

    Attributes:
        layout: "nhwc" or "nchw": the order of the input's sizes.
        quantization: In the words of `convert`: "none" or "int8".
        scaling: What the pixels mean; None where the .tflite did not say.
        labels: Names of the classes, or none.
        input: Scale and zero point of the input.
        outputs: Of each output.
        macs: Multiply-adds of one image; None when unknown.
        detects: Whether the outputs are boxes and scores, as `exports.detector` writes them.
    """

    layout: str = "nhwc"
    quantization: str = "none"
    scaling: PixelScaling | None = None
    labels: tuple[str, ...] = ()
    input: Quantization = (0.0, 0)
    outputs: tuple[Quantization, ...] = ((0.0, 0),)
    macs: int | None = None
    detects: bool = False

    def entries(self) -> dict[str, str]:
        """As text by name, which is what both formats keep."""
        found = {
            "producer": "keras_mobilenets",
            "layout": self.layout,
            "quantization": self.quantization,
            "input_quantization": json.dumps(self.input),
            "output_quantization": json.dumps(self.outputs[0] if len(self.outputs) == 1 else self.outputs),
        }
        if self.scaling:
            found |= {"pixel_mean": json.dumps(self.scaling.mean), "pixel_std": json.dumps(self.scaling.std)}
        if self.labels:
            found["labels"] = json.dumps(self.labels, ensure_ascii=False)
        if self.detects:
            found |= _DETECTION
        return found | ({} if self.macs is None else {"macs": str(self.macs)})


_DETECTION = {
    "task": "detection",
    "boxes": "N×A×4: y1, x1, y2, x2 in shares of the image's height and width, not clipped to it",
    "scores": "N×A×classes: 0..1, without the background, before non-maximum suppression",
}


def read_record(entries: Mapping[str, str], shape: tuple[int, ...]) -> ExportRecord:
    """The record of a file; of one that others made, what its input's shape tells.

    Args:
        entries: Its metadata.
        shape: Of its first input; −1 for an open size.
    """
    try:
        scaling = None
        if "pixel_mean" in entries:
            mean, std = (tuple(json.loads(entries[f"pixel_{name}"])) for name in ("mean", "std"))
            scaling = PixelScaling(mean, std, "its metadata")
        source, targets = (json.loads(entries.get(f"{side}_quantization", "[0, 0]")) for side in ("input", "output"))
        several = targets if isinstance(targets[0], list) else [targets]
        return ExportRecord(
            layout=entries.get("layout", _layout(shape)),
            quantization=entries.get("quantization", "none"),
            scaling=scaling,
            labels=tuple(json.loads(entries.get("labels", "[]"))),
            input=(float(source[0]), int(source[1])),
            outputs=tuple((float(scale), int(zero_point)) for scale, zero_point in several),
            macs=int(entries["macs"]) if "macs" in entries else None,
            detects=_DETECTION.items() <= entries.items(),
        )
    except (ValueError, TypeError, IndexError, KeyError):  # names of another exporter
        return ExportRecord(layout=_layout(shape))


def quantizations(record: ExportRecord, count: int) -> tuple[Quantization, ...]:
    """Those of so many outputs; a file that others made says nothing of its own."""
    return record.outputs if len(record.outputs) == count else ((0.0, 0),) * count


def _layout(shape: tuple[int, ...]) -> str:
    """Where the channels are: of one to four, last unless only the second size can be so few."""
    return "nchw" if len(shape) == 4 and 1 <= shape[1] <= 4 and not 1 <= shape[3] <= 4 else "nhwc"
