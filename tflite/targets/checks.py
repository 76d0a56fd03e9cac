"""Asks any target about a .tflite: the table of targets, and how each is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators import ethos_u, gpu, micro, qualcomm, reference
from keras_mobilenets.tflite.targets.accelerators.environments import Environment
from keras_mobilenets.tflite.targets.compatibility import Check
from keras_mobilenets.tflite.targets.nnapi import API_LEVELS, check_nnapi
from keras_mobilenets.tflite.targets.xnnpack import check_xnnpack


class Runner(Protocol):
    """Runs a file on a variant of a target."""

    def __call__(self, path: Path, inputs: np.ndarray, variant: str) -> np.ndarray:
        """Runs a .tflite on images.

        Args:
            path: A .tflite that is known to be sound, with one input and one output.
            inputs: Images×height×width×channels in the input's own dtype.
            variant: Of the target; "" where it has none.

        Returns:
            Raw outputs, images×..., in the output's own dtype.

        Raises:
            UserError: The target cannot be had here, does not take the file, or fails.
        """


@dataclass(frozen=True)
class Target:
    """What can run a model.

    Attributes:
        what: In words.
        known: How its verdict is known: "rules", "compiler" or "run", as in `Check`.
        check: Says which operators it takes; None where it takes every operator.
        run: Gives its raw outputs for images in the model's input dtype; None where it cannot be run here.
        variants: What may follow its name and the separator.
        variant: Which of them is meant where none is given.
        separator: What stands between name and variant.
        environment: What it needs here beside this package.
        estimates: Whether its check may tell latency or memory.
    """

    what: str
    known: str
    check: Callable[[Path, str], Check] | None = None
    run: Runner | None = None
    variants: tuple[str, ...] = ()
    variant: str = ""
    separator: str = ":"
    environment: Environment | None = None
    estimates: bool = False


TARGETS: Mapping[str, Target] = {
    "xnnpack": Target("XNNPACK on the CPU", "run", check=lambda path, _: check_xnnpack(path)),
    "nnapi": Target(
        "NNAPI of Android, by its API level",
        "rules",
        check=lambda path, level: check_nnapi(path, int(level)),
        variants=tuple(map(str, API_LEVELS)),
        variant="31",
    ),
    "gpu": Target("LiteRT's GPU delegate", "run", gpu.check, gpu.run, environment=gpu.ENVIRONMENT),
    "qualcomm": Target(
        "Qualcomm's NPU: its compiler, and its simulator",
        "compiler",
        qualcomm.check,
        qualcomm.run,
        variants=qualcomm.SOCS,
        variant="SM8750",
        environment=qualcomm.ENVIRONMENT,
        estimates=True,
    ),
    "micro": Target(
        "TensorFlow Lite Micro", "run", micro.check, micro.run, environment=micro.ENVIRONMENT, estimates=True
    ),
    "ethos": Target(
        "Arm's Ethos-U, by Vela",
        "compiler",
        ethos_u.check,
        variants=ethos_u.VARIANTS,
        variant="u55-128",
        separator="-",
        environment=ethos_u.ENVIRONMENT,
        estimates=True,
    ),
    "reference": Target("TensorFlow Lite's reference kernels", "run", run=reference.run),
}


def check(path: str | Path, target: str) -> Check:
    """Asks a target whether it takes a model whole: its own compiler or delegate where it can be had here.

    Args:
        path: The .tflite file.
        target: A name in `keras-mobilenets targets`, such as "xnnpack", "nnapi:30", "gpu", "qualcomm:SM8750" or
            "ethos-u55-128".

    Returns:
        A verdict on every operator with reasons, partitions, the share of multiply-adds delegated, memory and estimate
        where the target tells them, and how all that is known.

    Raises:
        UserError: There is no such target, or it cannot be asked here: then with the line that makes it so; or the file
            is missing, is no .tflite, or is damaged.
    """
    found, variant = find(target)
    if found.check is None:
        raise UserError(
            f"{target} takes every operator, there is nothing to check: run it with evaluate(on={target!r})"
        )
    return found.check(Path(path), variant)


def runner(target: str) -> Callable[[Path, np.ndarray], np.ndarray]:
    """The function that runs a .tflite on a target.

    It takes the path of a file that is known to be sound, with one input and one output, and images×height×width×
    channels in the input's own dtype; it returns raw outputs, images×..., in the output's own dtype, or raises a
    `UserError` where the target fails.

    Args:
        target: As in `check`.

    Raises:
        UserError: There is no such target, or it cannot be run here.
    """
    found, variant = find(target)
    if found.run is None:
        runnable = ", ".join(full_name(name) for name, target in TARGETS.items() if target.run)
        raise UserError(f"{target} cannot be run here; give one of {runnable}")
    if found.environment:
        found.environment.require()
    return partial(found.run, variant=variant)


def find(target: str) -> tuple[Target, str]:
    """The target of a name and its variant.

    Raises:
        UserError: There is none; the message lists them.
    """
    for name, found in TARGETS.items():
        called, _, variant = str(target).partition(found.separator)
        if called == name:
            break
    else:
        raise UserError(f"unknown target {target!r}: give one of {', '.join(map(full_name, TARGETS))}")
    variant = variant or found.variant
    if variant not in (found.variants or ("",)):
        known = f"give {name}{found.separator}{'|'.join(found.variants)}" if found.variants else f"{name} has none"
        raise UserError(f"unknown variant {variant!r} of {name}: {known}")
    return found, variant


def full_name(target: str) -> str:
    """A target's name with its variant, such as "nnapi:31" of "nnapi".

    Raises:
        UserError: There is no such target.
    """
    found, variant = find(target)
    name = next(name for name, each in TARGETS.items() if each is found)
    return f"{name}{found.separator}{variant}" if variant else name
