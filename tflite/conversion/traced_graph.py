"""A model as a TensorFlow graph with its weights as constants: what the float .tflite is converted from.

`TFLiteConverter.from_keras_model` saves the model, loads it and freezes it before it converts it: six times the work
for the same operators.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from keras_mobilenets.errors import LONGEST, UserError, first_line
from keras_mobilenets.tflite.graph.flatbuffer import NAMED_INPUTS
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


class Input(NamedTuple):
    """One input of a model.

    Attributes:
        name: As the model calls it.
        shape: With the batch, which is 1.
        dtype: Such as "float32".
        is_pixels: Whether it takes pixels of 0 to 255 in a float, since the model took uint8.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_pixels: bool = False


@dataclass(frozen=True)
class TracedGraph:
    """A model at a fixed input size.

    Attributes:
        name: The model's.
        model: The Keras model whose layers name the operators; None of a SavedModel without one.
        graph: The TensorFlow graph, weights as constants.
        inputs: Its input tensors.
        outputs: Its output tensors.
        declared: What the inputs are.
        output_names: As the model calls its outputs.
    """

    name: str
    model: Any
    graph: Any
    inputs: list[Any]
    outputs: list[Any]
    declared: tuple[Input, ...]
    output_names: tuple[str, ...]


class ExportedModel:
    """A SavedModel folder that holds computations alone: `model.export` of Keras 3, `tf.saved_model.save`.

    Attributes:
        name: The folder's name.
        signature: What is computed, a concrete function.
    """

    def __init__(self, folder: str | Path) -> None:
        """Opens a folder.

        Raises:
            UserError: It is damaged, or holds nothing that can be called.
        """
        import tensorflow as tf

        self.name = Path(folder).name
        try:
            with suppress_native_output():
                self._loaded = tf.saved_model.load(str(folder))  # keeps the variables
        except Exception as error:  # a damaged folder fails in many ways
            raise UserError(f"{folder} cannot be loaded as a SavedModel: {first_line(error)}") from error
        signatures = self._loaded.signatures
        if not signatures:
            raise UserError(f"{folder} has no signature to convert: save it with signatures=, or by model.export")
        self.signature = signatures["serving_default" if "serving_default" in signatures else next(iter(signatures))]


def traced(model: Any, input_shape: Sequence[int] | None = None, for_int8: bool = False) -> TracedGraph:
    """Traces a model.

    Args:
        model: A Keras 3 model (functional, Sequential, subclassed), a tf_keras model, or an `ExportedModel`.
        input_shape: Sizes for an input that leaves some open, without the batch.
        for_int8: Whether the uint8 inputs of a functional Keras 3 model become float ones of the same values.

    Raises:
        UserError: The model was never built, leaves its input size open and none is given, or cannot be traced.
    """
    import keras

    if isinstance(model, ExportedModel):
        return _traced_export(model, input_shape)
    from keras_mobilenets.training.engine.precision import float32

    if not isinstance(model, keras.Model):
        with float32(model):
            return _traced_keras(model.name, model, input_shape)
    check_backend()
    if any(layer.quantization_mode is not None for layer in model._flatten_layers()):
        raise UserError(f"{model.name} was quantized by Keras (model.quantize): convert the float model instead")
    with float32(model):
        flat = _as_it_runs(_flat(model), input_shape)
        graph = _traced_keras(model.name, _with_float_inputs(flat) if for_int8 else flat, input_shape)
    if for_int8 and getattr(flat, "inputs", None):
        were = [keras.backend.standardize_dtype(tensor.dtype) for tensor in flat.inputs]
        declared = [i._replace(is_pixels=dtype == "uint8") for i, dtype in zip(graph.declared, were, strict=True)]
        return replace(graph, declared=tuple(declared))
    return graph


def check_backend() -> None:
    """Refuses to convert on another backend than TensorFlow."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"conversion needs the TensorFlow backend, Keras runs on {keras.backend.backend()}: save the model, set "
            "KERAS_BACKEND=tensorflow and convert the file"
        )


def _flat(model: Any) -> Any:
    """The model without models inside it, so that each layer has a name of its own; else the model as it is."""
    from keras_mobilenets.graphs.flat_model import flat_model

    try:
        return flat_model(model)
    except UserError:
        if not model.built:
            raise
        return model  # a subclassed one that computes with TensorFlow's operators, which can be traced


def _as_it_runs(model: Any, input_shape: Sequence[int] | None) -> Any:
    """The model with one layer for parallel branches, and others for those that give operators no target takes."""
    import keras

    from keras_mobilenets.graphs.flat_model import run
    from keras_mobilenets.graphs.normalization_fold import folded_normalizations
    from keras_mobilenets.graphs.reparameterization import reparameterized
    from keras_mobilenets.tflite.conversion.forms.upsampling import with_concatenated_copies

    if not hasattr(model, "_inputs_struct"):  # a subclassed one whose graph cannot be seen
        return model
    if input_shape is not None and len(model.inputs) == 1 and None in model.inputs[0].shape[1:]:
        (x,) = model.inputs
        image = keras.Input(_shape(model.name, x.shape, input_shape)[1:], dtype=x.dtype, name=x.name)
        model = keras.Model(
            keras.tree.pack_sequence_as(model._inputs_struct, [image]), run(model, [image]), name=model.name
        )
    return with_concatenated_copies(folded_normalizations(reparameterized(model)))


def _with_float_inputs(model: Any) -> Any:
    """The model with float inputs in the place of uint8 ones, so that no operator stands before its first layer."""
    import keras

    tensors = getattr(model, "inputs", None) or []
    if not any(keras.backend.standardize_dtype(tensor.dtype) == "uint8" for tensor in tensors):
        return model

    def as_float(tensor: Any) -> Any:
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        return keras.Input(batch_shape=tensor.shape, dtype="float32" if dtype == "uint8" else dtype, name=tensor.name)

    inputs = keras.tree.map_structure(as_float, model._inputs_struct)
    return keras.Model(inputs, model._run_through_graph(inputs, lambda layer: layer), name=model.name)


def _traced_keras(name: str, model: Any, input_shape: Sequence[int] | None) -> TracedGraph:
    structure, declared = declared_inputs(name, model, input_shape)
    names: list[str] = []
    return frozen(name, model, _function(model, structure, names), declared, names)


def concrete_function(model: Any) -> Any:
    """What a Keras model computes of one image, as TensorFlow's own converter takes it."""
    structure, declared = declared_inputs(model.name, model, None)
    return _function(model, structure, []).get_concrete_function(*_specs(declared))


def _function(model: Any, structure: Any, names: list[str]) -> Any:
    """A function of the model's inputs, one by one; the names of its outputs are put into `names`."""
    import keras
    import tensorflow as tf

    @tf.function(autograph=False)
    def run(*tensors: Any) -> Any:
        outputs = model(keras.tree.pack_sequence_as(structure, list(tensors)), training=False)
        flat = keras.tree.flatten(outputs)
        names[:] = _names(outputs, ["output"] if len(flat) == 1 else getattr(model, "output_names", None) or ())
        return [tf.identity(y, name="output") for y in flat]

    return run


def _specs(declared: Sequence[Input]) -> list[Any]:
    import tensorflow as tf

    return [tf.TensorSpec(i.shape, i.dtype, name=re.sub(r"[^\w.]", "_", i.name)) for i in declared]


def _traced_export(model: ExportedModel, input_shape: Sequence[int] | None) -> TracedGraph:
    import tensorflow as tf

    specs = model.signature.structured_input_signature[1]
    declared = tuple(
        Input(key, _shape(model.name, spec.shape, input_shape), spec.dtype.name) for key, spec in specs.items()
    )
    names = list(model.signature.structured_outputs)

    @tf.function(autograph=False)
    def run(*tensors: Any) -> Any:
        outputs = model.signature(**dict(zip(specs, tensors, strict=True)))
        return [tf.identity(outputs[name], name="output") for name in names]

    return frozen(model.name, None, run, declared, names)


def frozen(
    name: str, model: Any, run: Callable[..., Any], declared: tuple[Input, ...], output_names: list[str]
) -> TracedGraph:
    """Traces a function of the inputs; `output_names` may be filled while it runs.

    Raises:
        UserError: The model's own code fails.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        with suppress_native_output():
            graph = convert_variables_to_constants_v2(run.get_concrete_function(*_specs(declared)))  # type: ignore[attr-defined]
    except Exception as error:  # whatever the model's own code raises
        raise UserError(f"{name} does not convert: {reason_of(error)}") from error
    return TracedGraph(name, model, graph.graph, graph.inputs, graph.outputs, declared, tuple(output_names))


def declared_inputs(name: str, model: Any, given: Sequence[int] | None) -> tuple[Any, tuple[Input, ...]]:
    """The structure of what a model takes (a tensor, a list, a dictionary), and its inputs in that order."""
    import keras

    structure = _input_structure(name, model)
    leaves = keras.tree.flatten(structure)
    shapes = [_shape(name, leaf.shape, given) for leaf in leaves]
    if len(leaves) == 1:
        own = leaves[0].name if leaves[0].name in NAMED_INPUTS else None
        names = [own or {4: "image", 5: "clip"}.get(len(shapes[0]), "input")]
    else:  # Keras numbers the tensors that nobody has named, of all models together
        named = [leaf.name if leaf.name and not leaf.name.startswith("keras_tensor") else "input" for leaf in leaves]
        names = _names(structure, named)
    dtypes = [keras.backend.standardize_dtype(leaf.dtype) for leaf in leaves]
    return structure, tuple(map(Input, names, shapes, dtypes))


def _input_structure(name: str, model: Any) -> Any:
    """What a model takes, in tensors or in specifications of them."""
    import keras

    for attribute in ("_inputs_struct", "_nested_inputs"):  # Keras 3, tf_keras
        if (structure := getattr(model, attribute, None)) is not None:
            return structure[0] if isinstance(structure, list | tuple) and len(structure) == 1 else structure
    if not isinstance(model, keras.Model):
        specification = model.save_spec()
        if specification is None:
            raise UserError(f"{name} is not built: call it once on images")
        return specification[0][0]
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None:
        raise UserError(f"{name} takes more than one argument: make it of layers, by keras.Model(inputs, outputs)")
    return _specifications(shape)


def _specifications(shapes: Any) -> Any:
    """Specifications of tensors in the place of shapes in lists and dictionaries."""
    import keras

    if isinstance(shapes, dict):
        return {key: _specifications(shape) for key, shape in shapes.items()}
    if all(size is None or isinstance(size, int) for size in shapes):
        return keras.KerasTensor(tuple(shapes))
    return [_specifications(shape) for shape in shapes]


def _shape(name: str, sizes: Any, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of an input for one image, its open sizes as given."""
    if sizes is None or getattr(sizes, "rank", 0) is None:
        raise UserError(f"{name} has an input of any rank: build it with keras.Input((height, width, 3))")
    shape = tuple(sizes)[1:]
    if None not in shape:
        return 1, *shape
    words = ", ".join("any" if size is None else str(size) for size in shape)
    if given is None:
        raise UserError(
            f"{name} takes images of any size ({words}): give input_shape=(height, width, 3), --size on the command "
            "line, or build it with that input_shape"
        )
    if len(given) != len(shape) or any(size not in (None, other) for size, other in zip(shape, given, strict=True)):
        raise UserError(f"input_shape={tuple(given)} does not fit {name}, which takes ({words})")
    return 1, *map(int, given)


def _names(structure: Any, names: Sequence[str]) -> list[str]:
    """What a structure's tensors are called: by the keys of a dictionary, else as given, each name once."""
    import keras

    found: list[str] = []
    for place, (path, _) in enumerate(keras.tree.flatten_with_path(structure)):
        given = names[place] if place < len(names) else f"output_{place}"
        name = base = str(path[-1]) if path and isinstance(path[-1], str) else given
        number = 1
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found.append(name)
    return found


def reason_of(error: Exception) -> str:
    """Why a model's own code fails, in one line; Keras says where in its first line and why in the next."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "missing a required argument" in text:
        lines.append("(give it one list or dictionary of tensors)")
    return " ".join(lines[:2])[:LONGEST] or type(error).__name__
