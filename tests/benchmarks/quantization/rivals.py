"""Int8 by other tools, each run by an interpreter that has it: nothing of this project is imported here.

python rivals.py ai-edge-quantizer FLOAT.tflite CALIBRATION.npy INT8.tflite
python rivals.py torch WEIGHTS.pth CALIBRATION.npy TEST.npy LOGITS.npy

Images are float32 N×224×224×3 as the float .tflite takes them; for PyTorch uint8, as `draw` gives them.
"""

import sys
from pathlib import Path

import numpy as np


def ai_edge_quantizer(model: str, calibration: str, result: str) -> None:
    """LiteRT's own quantizer with its own calibration, all int8."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    signatures = Interpreter(model).get_signature_list()
    signature, ends = next(iter(signatures.items()))
    tool = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    images = [{ends["inputs"][0]: image[None]} for image in np.load(calibration)]
    tool.quantize(tool.calibrate({signature: images})).export_model(result, overwrite=True)


def pytorch(weights: str, calibration: str, test: str, result: str) -> None:
    """PyTorch's static quantization of torchvision's MobileNetV2, as its tutorial does it."""
    import torch
    from torchvision.models.quantization import mobilenet_v2

    torch.backends.quantized.engine = "qnnpack"
    model = mobilenet_v2(weights=None, quantize=False).eval()
    model.load_state_dict(torch.load(weights, map_location="cpu"))
    model.fuse_model()
    model.qconfig = torch.quantization.get_default_qconfig("qnnpack")
    torch.quantization.prepare(model, inplace=True)
    mean, std = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def logits(path: str) -> np.ndarray:
        images = ((np.load(path).astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return np.concatenate([model(torch.from_numpy(image[None].copy())).numpy() for image in images])

    logits(calibration)
    torch.quantization.convert(model, inplace=True)
    np.save(result, logits(test))


if __name__ == "__main__":
    {"ai-edge-quantizer": ai_edge_quantizer, "torch": pytorch}[sys.argv[1]](*sys.argv[2:])
    if not Path(sys.argv[-1]).is_file():
        raise SystemExit("nothing was written")
