"""What each operator of a searched network takes on this machine: measured once, kept in a file, added up.

A sum of operators that were measured one by one, after ProxylessNAS (arXiv:1812.00332, section 3.3) and FBNet
(arXiv:1812.03443, section 3.2). Each is timed several times over in one model, so that what a run itself takes is
shared; `fit` then compares sums with whole networks.
"""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets import files
from keras_mobilenets.costs.operators import Operator
from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.measurement.operator_model import operator_model
from keras_mobilenets.tflite.runtime.stopwatch import thread_times
from keras_mobilenets.tflite.targets.operator_forms import FORMS

_COPIES = 8  # of an operator in one model
_BYTES = 2**18  # of all outputs: they stay in the caches, as those of a whole network do
_TOGETHER = 12  # models that are timed in turns
_SECONDS = 0.04  # each
_TINY = Operator("add", 1, 8, 8)  # takes next to nothing, so that its run is what a run itself takes
_PROBE = Operator("conv", 16, 64, 64)  # is timed with every group: how much slower it is, the machine is
TARGETS = ("xnnpack",)


class OperatorLatencies:
    """A table of measured operators of int8 networks on one CPU thread of this machine, filled as it is asked.

    Attributes:
        path: The file that keeps it.
        target: What runs them.
        error: Median relative error for whole networks that `fit` did not see; None before `fit`.
        reference_ms: The least that the network took which others are timed beside; None before it was measured.
    """

    def __init__(self, path: str | Path, target: str = "xnnpack") -> None:
        """Opens the table that is there.

        Args:
            path: The file, made when missing.
            target: A name in `TARGETS`.

        Raises:
            UserError: There is no such target, or the file is of another machine or damaged.
        """
        if target not in TARGETS:
            raise UserError(f"operators cannot be measured on {target}; give one of {', '.join(TARGETS)}")
        self.path, self.target = Path(path), target
        self._machine = {"target": target, "processor": _processor(), "runtime": version("ai-edge-litert")}
        self._ms: dict[Operator, float] = {}
        self._run_ms: float | None = None
        self._probe_ms: float | None = None
        self._fit = 1.0, 0.0  # factor on an operator's time, and what each takes longer in a network
        self.error: float | None = None
        self.reference_ms: float | None = None
        if self.path.exists():
            self._read(files.read_json(self.path))

    def ms(self, parts: Iterable[Operator]) -> float:
        """Milliseconds of one run of a network of these operators; those that are new are measured."""
        listed = list(parts)
        self.measure(listed)
        return self.run_ms + sum(map(self.operator_ms, listed))

    def operator_ms(self, part: Operator) -> float:
        """Milliseconds of one operator inside a network."""
        self.measure([part])
        factor, more = self._fit
        return factor * self._ms[part] + more

    @property
    def run_ms(self) -> float:
        """Milliseconds of a run whatever is in the network."""
        if self._run_ms is None:
            once, often = thread_times([operator_model(_TINY, n, FORMS[self.target]) for n in (1, _COPIES)])
            self._run_ms = 1e3 * max(0.0, (_COPIES * once - often) / (_COPIES - 1))
        return self._run_ms

    @property
    def probe_ms(self) -> float:
        """Milliseconds of the probe when the table was begun, to which all times of operators are related."""
        if self._probe_ms is None:
            self._probe_ms = 1e3 * min(thread_times([self._probe()], seconds=_SECONDS)[0] for _ in range(_COPIES))
        return self._probe_ms

    def _probe(self) -> bytes:
        return operator_model(_PROBE, _COPIES, FORMS[self.target])

    def measure(self, parts: Iterable[Operator]) -> None:
        """Measures what is missing, and writes the file."""
        new = [part for part in dict.fromkeys(parts) if part not in self._ms]
        if not new:
            return
        groups = [new[first : first + _TOGETHER] for first in range(0, len(new), _TOGETHER)]
        for group in track(groups, "Measuring operators") if len(groups) > 4 else groups:
            copies = [max(1, min(_COPIES, _BYTES // part.activations)) for part in group]
            contents = [operator_model(part, n, FORMS[self.target]) for part, n in zip(group, copies, strict=True)]
            probe, *times = thread_times([self._probe(), *contents], seconds=_SECONDS)
            for part, n, seconds in zip(group, copies, times, strict=True):
                ms = seconds / probe * self.probe_ms
                self._ms[part] = round(max(0.0, (ms - self.run_ms) / n), 7)  # as the file keeps it
        self.write()

    def fit(self, networks: Sequence[Sequence[Operator]], measured_ms: Sequence[float]) -> float:
        """Sets what operators take more in a network than alone, by the measured times of whole networks.

        Two numbers for all: a factor, and what each operator takes whatever it is.

        Args:
            networks: The operators of each, four networks or more.
            measured_ms: What one run of each takes.

        Returns:
            `error`: each network estimated with the numbers that the others give.
        """
        self.measure(part for parts in networks for part in parts)
        sums = np.array([[sum(self._ms[part] for part in parts), len(parts)] for parts in networks])
        times = np.array(measured_ms) - self.run_ms
        errors = []
        for place in range(len(times)):
            others = np.arange(len(times)) != place
            estimate = sums[place] @ _relative_fit(sums[others], times[others]) + self.run_ms
            errors.append(abs(estimate / measured_ms[place] - 1))
        factor, more = _relative_fit(sums, times)
        self._fit, self.error = (float(factor), float(more)), float(np.median(errors))
        self.write()
        return self.error

    def refer(self, ms: float) -> float:
        """The least that the reference has taken, this time included: what else a machine does only adds."""
        self.reference_ms = min(ms, self.reference_ms or ms)
        self.write()
        return self.reference_ms

    def write(self) -> Path:
        """Writes the table."""
        rows = [[*part, ms] for part, ms in self._ms.items()]
        content = {
            "machine": self._machine,
            "run_ms": self.run_ms,
            "probe_ms": self.probe_ms,
            "fit": self._fit,
            "error": self.error,
        }
        content["reference_ms"] = self.reference_ms
        with files.atomic(self.path) as temporary:
            lines = ",\n".join(json.dumps(row) for row in rows)
            temporary.write_text(f'{json.dumps(content)[:-1]}, "operators": [\n{lines}\n]}}\n', encoding="utf-8")
        return self.path

    def _read(self, content: Any) -> None:
        try:
            found = {Operator(*row[:-1]): float(row[-1]) for row in content["operators"]}
            machine, run, known = content["machine"], float(content["run_ms"]), content["error"]
            probe = float(content["probe_ms"])
            factor, more = map(float, content["fit"])
            reference = content["reference_ms"] and float(content["reference_ms"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{self.path} is no table of operators: delete it, and it is measured anew") from error
        if machine != self._machine:
            raise UserError(
                f"{self.path} was measured on {machine}, not here ({self._machine}): delete it or give another"
            )
        self._ms, self._run_ms, self._fit, self.error = found, run, (factor, more), known
        self._probe_ms, self.reference_ms = probe, reference


def _relative_fit(sums: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The factor and the addition, neither negative, of the least relative squared error."""
    shares = sums / times[:, None]
    both = np.linalg.lstsq(shares, np.ones(len(times)), rcond=None)[0]
    if (both >= 0).all():
        return both
    return np.array([1 / np.median(shares[:, 0]), 0.0])


def default_path(target: str) -> Path:
    """Where the table of a target is kept for all runs: the user's cache folder."""
    return Path.home() / ".cache" / "keras_mobilenets" / f"operators-{target}.json"


def _processor() -> str:
    """The processor's name, where the system tells it."""
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
        if named:
            return named[0]
    return platform.processor() or platform.machine()
