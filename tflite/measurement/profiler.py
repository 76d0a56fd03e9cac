"""Where a .tflite spends its time, operator by operator, as LiteRT's own profiler says.

XNNPACK reports its operators there one by one, in whole microseconds. The profiler (litert_profiler.py) runs in a
process of its own, since a C library of another version may crash.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.macs import COUNTED, operator_macs
from keras_mobilenets.tflite.runtime.interpreter import open_model

if TYPE_CHECKING:
    from rich.table import Table

LONGEST = 300  # seconds that the process may take
SHORT = 0.005  # ms below which an operator gets no rate
# What XNNPACK's names begin with, and the operators of the file that they carry out.
_KERNELS = (
    (("Convolution", "Fully Connected", "Deconvolution", "Batch Matrix Multiply"), COUNTED),
    (("Add",), ("ADD",)),
    (("Multiply",), ("MUL",)),
    (("Mean",), ("MEAN",)),
)


@dataclass(frozen=True)
class OperatorTime:
    """The time of one operator.

    Attributes:
        kernel: What ran, in the runtime's words, such as "Fully Connected (NC, QS8, QC8W) GEMM".
        ms: Milliseconds of one run: the mean of the middle half of the runs.
        index: Place of the operator in the file; None when the runtime's operators are not those of the file.
        name: Such as "CONV_2D"; empty when `index` is unknown.
        layer: Name of its output tensor; likewise.
        shape: Of the output.
        macs: Multiply-adds; None when unknown.
    """

    kernel: str
    ms: float
    index: int | None = None
    name: str = ""
    layer: str = ""
    shape: tuple[int, ...] = ()
    macs: int | None = None

    @property
    def gmacs_per_s(self) -> float | None:
        """10⁹ multiply-adds per second; None without any, or when it is too short to tell in whole microseconds."""
        return self.macs / self.ms / 1e6 if self.macs and self.ms >= SHORT else None


@dataclass(frozen=True)
class Profile:
    """What `profile` found; `str()` of it is two tables.

    Attributes:
        path: The file.
        threads: CPU threads.
        runs: How many runs were timed.
        operators: In the order they ran.
        whole_ms: One run of the whole model, profiled; the median.
        plain_ms: One run of the whole model before the profiler was switched on.
    """

    path: Path
    threads: int
    runs: int
    operators: tuple[OperatorTime, ...] = field(repr=False)
    whole_ms: float
    plain_ms: float

    @property
    def operators_ms(self) -> float:
        """The times of all operators."""
        return sum(operator.ms for operator in self.operators)

    def by_kind(self) -> dict[str, tuple[int, float, int]]:
        """How many of each kind of operator, their milliseconds and their multiply-adds, the slowest kind first."""
        kinds: dict[str, list[OperatorTime]] = defaultdict(list)
        for operator in self.operators:
            kinds[operator.name or operator.kernel].append(operator)
        sums = {
            kind: (len(ops), sum(op.ms for op in ops), sum(op.macs or 0 for op in ops)) for kind, ops in kinds.items()
        }
        return dict(sorted(sums.items(), key=lambda item: -item[1][1]))

    def tables(self, slowest: int = 12) -> list["Table"]:
        """By kind, and the slowest operators; print them with `rich.print`."""
        total = self.operators_ms or 1.0
        kinds = _table("operators", "number", "ms", "share", "G multiply-adds/s")
        for kind, (number, ms, macs) in self.by_kind().items():
            kinds.add_row(
                kind, str(number), f"{ms:.3f}", f"{ms / total:.1%}", f"{macs / ms / 1e6:.1f}" if macs and ms else ""
            )
        single = _table("slowest operators", "kernel", "output", "ms", "share", "G multiply-adds/s")
        for op in sorted(self.operators, key=lambda op: -op.ms)[:slowest]:
            name = f"{op.index} {op.name} {_short(op.layer)}" if op.index is not None else op.kernel
            shape, rate = "×".join(map(str, op.shape)), op.gmacs_per_s
            single.add_row(
                name, op.kernel, shape, f"{op.ms:.3f}", f"{op.ms / total:.1%}", f"{rate:.1f}" if rate else ""
            )
        return [kinds, single]

    @property
    def summary(self) -> str:
        """The sum against the whole, in one line."""
        return (
            f"{self.path.name}, {count(self.threads, 'thread')}, {count(self.runs, 'run')}: "
            f"operators {self.operators_ms:.3f} of {self.whole_ms:.3f} ms profiled, "
            f"{self.plain_ms:.3f} ms without the profiler "
            "(the runtime counts whole microseconds, so that short operators read low)"
        )

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=160)
        with console.capture() as text:
            console.print(self.summary, *self.tables(), sep="\n", soft_wrap=True)
        return text.get()


def profile(path: str | Path, *, threads: int = 1, runs: int = 50) -> Profile:
    """Times each operator of a .tflite, with XNNPACK, inside the running model.

    Args:
        path: The .tflite file.
        threads: CPU threads, 1 or more.
        runs: Timed runs, 1 to 2,000.

    Returns:
        The times. Operators are named where the runtime's are those of the file, kind by kind in the same order;
        XNNPACK may merge two of them.

    Raises:
        UserError: The file is refused, a number is out of range, or this version of LiteRT has no such profiler.
    """
    if threads < 1 or not 1 <= runs <= 2000:
        raise UserError(f"threads is {threads} and runs is {runs}; give 1 or more threads and 1 to 2000 runs")
    path = Path(path)
    open_model(path, threads)  # refuses what is damaged
    graph = flatbuffer.Graph(flatbuffer.read(path.read_bytes(), path))
    said = _ask(path, threads, runs)
    times = [OperatorTime(kernel, us / 1e3) for kernel, us in said["operators"]]
    return Profile(path, threads, runs, tuple(_named(times, graph)), said["whole_ms"], said["plain_ms"])


def _ask(path: Path, threads: int, runs: int) -> dict[str, Any]:
    """Runs the profiler in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "keras_mobilenets.tflite.measurement.litert_profiler",
        str(path),
        str(threads),
        str(runs),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise UserError(f"{path} takes more than {LONGEST} s to profile; ask for fewer runs") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        answer = {"error": f"it ended with code {done.returncode}"}
    if "error" in answer:
        raise UserError(f"LiteRT's profiler does not run {path} ({answer['error']}); benchmark without a profile")
    return answer


def _named(times: Sequence[OperatorTime], graph: flatbuffer.Graph) -> list[OperatorTime]:
    """Says which operator of the file each time belongs to, where both lists have as many of a kind."""
    named = list(times)
    others = {graph.name(operator) for operator in graph.operators} - {name for _, names in _KERNELS for name in names}
    for prefixes, names in (*_KERNELS, *(((), (name,)) for name in others)):
        ran = [i for i, each in enumerate(times) if each.kernel.startswith(prefixes) or each.kernel in names]
        asked = [i for i, operator in enumerate(graph.operators) if graph.name(operator) in names]
        if len(ran) != len(asked):
            continue
        for place, index in zip(ran, asked, strict=True):
            operator = graph.operators[index]
            output = int(operator.outputs[0])
            named[place] = OperatorTime(
                times[place].kernel,
                times[place].ms,
                index,
                graph.name(operator),
                (graph.tensors[output].name or b"").decode("utf-8", "replace"),
                graph.shape(output),
                operator_macs(graph, operator) or None,
            )
    return named


def _short(layer: str) -> str:
    """The telling end of a tensor's name."""
    parts = [part for part in layer.split(";")[0].split("/") if part]
    return "/".join(parts[-2:])[-40:]


def _table(*titles: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title in titles:
        is_text = title in ("operators", "slowest operators", "kernel", "output")
        grid.add_column(title, justify="left" if is_text else "right", overflow="ellipsis", no_wrap=True)
    return grid
