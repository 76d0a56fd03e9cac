"""TensorRT's engine of a folder that `export` made: built where the library and, as TensorRT wants it, a GPU are."""

import importlib
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_of
from keras_mobilenets.files import atomic
from keras_mobilenets.tflite.exports.tensorrt import BATCHES, CACHE, ENGINES, MODEL, SCRIPT


def build_engine(folder: str | Path, library: str | None = None) -> Path:
    """Builds the engine of a folder of `export(..., format="tensorrt")`, as its build.sh does.

    Args:
        folder: The folder; the engine becomes model.engine in it, or model_rtx.engine.
        library: "tensorrt", which builds for the GPU that is here, or "tensorrt_rtx", which builds without one for
            all from Ampere on; by default the first that is installed.

    Returns:
        The engine's file.

    Raises:
        UserError: No library, no GPU, or an operator that the library refuses; the folder stays as it is.
    """
    folder = Path(folder)
    file = folder / MODEL
    if not file.is_file():
        raise UserError(f"{folder} has no {MODEL}: give a folder that export --format tensorrt made")
    if library and library not in ENGINES:
        raise UserError(f"unknown library {library!r}: give {' or '.join(ENGINES)}")
    trt, said = _library(library, folder), _Said()
    logger = said.logger(trt)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what its constructor ends with without a GPU
        raise UserError(f"{trt.__name__} finds no NVIDIA GPU; run {folder / SCRIPT} where there is one") from error
    cache = folder / CACHE
    if cache.exists() and not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise UserError(
            f"{trt.__name__} {trt.__version__} takes no calibration cache: "
            "export the int8 .tflite, whose scales are inside"
        )
    flags = trt.NetworkDefinitionCreationFlag
    typed = 0 if cache.exists() else 1 << int(flags.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(file.read_bytes()):
        fault = parser.get_error(0)
        said_of = f"{fault.node_operator()} {fault.node_name()}: {first_of(fault.desc())}"
        raise UserError(f"{trt.__name__} refuses an operator of {file}, {said_of}")
    config = builder.create_builder_config()
    _add_batches(builder, network, config)
    if cache.exists():
        for flag in (trt.BuilderFlag.INT8, trt.BuilderFlag.FP16):
            config.set_flag(flag)
        config.int8_calibrator = entropy_calibrator(trt, cache)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise UserError(f"{trt.__name__} cannot build {folder}: {first_of(said.worst)}")
    out = folder / ENGINES[trt.__name__]
    with atomic(out) as temporary:
        temporary.write_bytes(content)
    return out


def entropy_calibrator(trt: Any, cache: Path) -> Any:
    """An entropy calibrator of TensorRT 10 and earlier that has its scales from a cache and so needs no images."""

    class Calibrator(trt.IInt8EntropyCalibrator2):
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache.read_bytes()

        def write_calibration_cache(self, content: bytes) -> None:
            """The cache is there already."""

    return Calibrator()


def _library(name: str | None, folder: Path) -> Any:
    for library in [name] if name else ENGINES:
        try:
            return importlib.import_module(library)
        except (ImportError, OSError):  # OSError: without CUDA's own libraries
            continue
    raise UserError(f"no engine was built: {name or 'tensorrt'} is not installed; run {folder / SCRIPT} where it is")


def _add_batches(builder: Any, network: Any, config: Any) -> None:
    """Says which batches an engine of open batch is for."""
    source = network.get_input(0)
    first, *sizes = source.shape
    if first == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(source.name, *((count, *sizes) for count in BATCHES.values()))
        config.add_optimization_profile(profile)


class _Said:
    """The library's last error, in the place of its output."""

    worst = ""

    def logger(self, trt: Any) -> Any:
        """A logger of the library."""
        said = self

        class Logger(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity <= trt.ILogger.ERROR:
                    said.worst = message

        return Logger()
