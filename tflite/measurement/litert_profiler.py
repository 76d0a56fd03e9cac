"""LiteRT's profiler through its C interface, as a program: a .tflite in, the times of its operators out as JSON.

The interface (litert/c/litert_profiler.h and its neighbours) comes with the Python package as libLiteRt.so, without a
Python side.
"""

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import first_line

_OPERATOR, _DELEGATED = 2, 8  # types of events (LiteRtProfilerEventType): an operator of the interpreter, of a delegate

_CPU = 1  # kLiteRtHwAcceleratorCpu

_TENSOR_TYPE_BYTES = 256  # more than a LiteRtRankedTensorType, which is only passed on


class _Event(ctypes.Structure):
    """ProfiledEventData of litert_profiler_event.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class _LiteRt:
    """LiteRT's C interface with one open model in it."""

    def __init__(self, path: str, threads: int) -> None:
        import ai_edge_litert

        folder = Path(next(iter(ai_edge_litert.__path__)))
        library = next(
            (file for file in sorted(folder.glob("*LiteRt.*")) if file.suffix in (".so", ".dylib", ".dll")), None
        )
        if library is None:
            raise OSError("this LiteRT comes without its C library")
        self.library = ctypes.CDLL(str(library))
        self.kept: list[Any] = []  # what C reads later
        self.environment = self.make("CreateEnvironment", 0, None)
        model = self.make("CreateModelFromFile", self.environment, path.encode())
        options = self.make("CreateOptions")
        self.call("SetOptionsHardwareAccelerators", options, _CPU)
        self.add_options(options, b"runtime_options_string", b"enable_profiling = true\n")
        self.add_options(options, b"xnnpack", b"num_threads = %d\n" % threads)
        self.model = self.make("CreateCompiledModel", self.environment, model, options)
        self.profiler = self.make("CompiledModelGetProfiler", self.model)
        graph = self.make("GetModelSubgraph", model, ctypes.c_size_t(0))
        self.input, self.output = (self.buffer(graph, end) for end in ("Input", "Output"))

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, f"LiteRt{name}")(*arguments)
        if status:
            raise OSError(f"LiteRt{name} gives status {status}")

    def make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Calls a function whose last argument is where it puts its result."""
        result = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(result))
        return result

    def add_options(self, options: Any, kind: bytes, text: bytes) -> None:
        stored, free = ctypes.create_string_buffer(text), ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self.kept += [stored, free]
        opaque = self.make("CreateOpaqueOptions", kind, ctypes.cast(stored, ctypes.c_void_p), free)
        self.call("AddOpaqueOptions", options, opaque)

    def buffer(self, graph: Any, end: str) -> ctypes.c_void_p:
        """Memory for the model's only input or output."""
        first, kind = ctypes.c_size_t(0), (ctypes.c_char * _TENSOR_TYPE_BYTES)()
        tensor = self.make(f"GetSubgraph{end}", graph, first)
        self.call("GetRankedTensorType", tensor, kind)
        needs = self.make(f"GetCompiledModel{end}BufferRequirements", self.model, first, first)
        return self.make("CreateManagedTensorBufferFromRequirements", self.environment, kind, needs)

    def run(self, runs: int) -> float:
        """Milliseconds of one of so many runs, by the median."""
        one, times = ctypes.c_size_t(1), []
        ends = (one, ctypes.byref(self.input), one, ctypes.byref(self.output))
        for _ in range(runs):
            start = time.perf_counter()
            self.call("RunCompiledModel", self.model, ctypes.c_size_t(0), *ends)
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)

    def events(self) -> Iterator[_Event]:
        number = ctypes.c_int()
        self.call("GetNumProfilerEvents", self.profiler, ctypes.byref(number))
        events = (_Event * max(1, number.value))()
        if number.value:
            self.call("GetProfilerEvents", self.profiler, number, events)
        yield from events[: number.value]


def _profile_here(path: str, threads: int, runs: int) -> dict[str, Any]:
    """Runs a model and sums up what the profiler says; the kernels must come in the same order each time."""
    runtime = _LiteRt(path, threads)
    runtime.run(5)
    plain_ms = runtime.run(runs)
    runtime.call("StartProfiler", runtime.profiler)
    whole_ms = runtime.run(runs)
    runtime.call("StopProfiler", runtime.profiler)
    ran = [
        (e.tag.decode("utf-8", "replace"), int(e.elapsed_us))
        for e in runtime.events()
        if e.type in (_OPERATOR, _DELEGATED)
    ]
    count, rest = divmod(len(ran), runs)
    if not count or rest or any(ran[i][0] != ran[i % count][0] for i in range(len(ran))):
        raise OSError("it reports no operators, or not the same in each run")
    operators = [(ran[i][0], _middle_mean([elapsed for _, elapsed in ran[i::count]])) for i in range(count)]
    return {"operators": operators, "whole_ms": whole_ms, "plain_ms": plain_ms}


def _middle_mean(values: Sequence[int]) -> float:
    """Mean of the middle half: whole microseconds have no finer median, and one interrupted run must not count."""
    quarter = len(values) // 4
    return statistics.fmean(sorted(values)[quarter : len(values) - quarter])


if __name__ == "__main__":
    try:
        print("\n" + json.dumps(_profile_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    except (OSError, AttributeError) as refused:
        print("\n" + json.dumps({"error": first_line(refused)}))
