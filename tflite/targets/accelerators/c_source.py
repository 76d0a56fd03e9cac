"""A .tflite as C++ source for a microcontroller: its bytes, and the lines of TensorFlow Lite Micro around them."""

import re
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.metadata import metadata_of
from keras_mobilenets.tflite.targets.accelerators import micro

_COLUMNS = 16
_HEADER = """\
// {name}: {said}
// Written by keras_mobilenets. To run it with TensorFlow Lite Micro:
//
//   #include "tensorflow/lite/micro/micro_interpreter.h"
//   #include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
//   #include "{name}.h"
//
//   tflite::MicroMutableOpResolver<{count}> resolver;
{adds}
//   alignas(16) static uint8_t arena[{name}::kArenaBytes];
//   static tflite::MicroInterpreter interpreter(tflite::GetModel({name}::kModel), resolver, arena, sizeof(arena));
//   interpreter.AllocateTensors();
//   // fill interpreter.input(0)->data, then
//   interpreter.Invoke();
//   // read interpreter.output(0)->data
#pragma once
#include <cstddef>
#include <cstdint>

namespace {name} {{
{ends}
constexpr size_t kArenaBytes = {arena};  // {how}
constexpr int kClasses = {classes};
extern const char* const kLabels[kClasses];
extern const unsigned char kModel[];
constexpr size_t kModelBytes = {size};
}}  // namespace {name}
"""


def c_source(path: str | Path, out: str | Path | None = None) -> tuple[Path, Path]:
    """Writes a .tflite as C++ source.

    Args:
        path: A .tflite that TensorFlow Lite Micro runs.
        out: Folder of the two files; None for that of the .tflite.

    Returns:
        The header, whose comment has the lines of a project, and the source with the bytes.

    Raises:
        UserError: The file is missing or damaged, or TensorFlow Lite Micro does not run it.
    """
    path = Path(path)
    content = path.read_bytes() if path.is_file() else b""
    if not content:
        raise UserError(f"{path} does not exist; convert a model first")
    model = flatbuffer.read(content, path)
    name = re.sub(r"\W", "_", path.stem)
    name = name if name[0].isalpha() else f"model_{name}"
    arena, how = _arena(path, model)
    operators = sorted({flatbuffer.operator_name(model, operator) for operator in model.subgraphs[0].operators})
    graph = model.subgraphs[0]
    output = graph.tensors[graph.outputs[0]]
    metadata = metadata_of(content)
    classes = int(flatbuffer.shape_of(output)[-1])
    labels = metadata.labels if metadata and len(metadata.labels) == classes else [f"class {n}" for n in range(classes)]
    ends = [_end("Input", graph.tensors[graph.inputs[0]]), _end("Output", output)]
    folder = Path(out or path.parent)
    header, source = folder / f"{name}.h", folder / f"{name}.cc"
    with files.atomic(header) as temporary:
        temporary.write_text(
            _HEADER.format(
                name=name,
                said=flatbuffer.description(content) or path.name,
                count=len(operators),
                adds="\n".join(f"//   resolver.Add{_method(operator)}();" for operator in operators),
                ends="\n".join(ends),
                arena=arena,
                how=how,
                classes=classes,
                size=len(content),
            ),
            encoding="utf-8",
        )
    with files.atomic(source) as temporary:
        temporary.write_text(_array(name, content, labels), encoding="utf-8")
    return header, source


def _arena(path: Path, model: Any) -> tuple[int, str]:
    if not micro.ENVIRONMENT.is_ready():
        enough = 8 * ((micro.enough(model) + 7) // 8)
        return enough, "more than it takes; keras-mobilenets targets --install micro measures it"
    found = micro.check(path)
    if not found.ok:
        raise UserError(f"{path}: {found.summary}")
    return 16 * (-(-found.memory["arena"] // 16)), f"as {found.system} takes on a processor of 64 bits; 32 take less"


def _end(side: str, tensor: Any) -> str:
    scales, zero_point = flatbuffer.scales(tensor)
    shape = flatbuffer.shape_of(tensor)
    count = 1
    for size in shape:
        count *= size
    words = "×".join(map(str, shape))
    lines = [f"constexpr int k{side}Size = {count};  // {flatbuffer.type_name(tensor.type)} {words}"]
    if scales:
        lines.append(f"constexpr float k{side}Scale = {scales[0]:.9g}f;  // value = scale * (stored - zero point)")
        lines.append(f"constexpr int k{side}ZeroPoint = {zero_point};")
    return "\n".join(lines)


def _array(name: str, content: bytes, labels: Any) -> str:
    rows = [content[start : start + _COLUMNS] for start in range(0, len(content), _COLUMNS)]
    numbers = "\n".join("  " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows)
    quoted = ", ".join('"' + re.sub(r'(["\\])', r"\\\1", str(label)) + '"' for label in labels)
    return (
        f'#include "{name}.h"\n\nnamespace {name} {{\n'
        f"const char* const kLabels[kClasses] = {{{quoted}}};\n"
        f"alignas(16) const unsigned char kModel[] = {{\n{numbers}\n}};\n}}  // namespace {name}\n"
    )


def _method(operator: str) -> str:
    """The method of the resolver that adds an operator: AddConv2D for CONV_2D."""
    return "".join(part.title() for part in operator.split("_"))
