"""The arguments of `train` that make it one of several processes."""

import os
from argparse import ArgumentParser, Namespace

from keras_mobilenets.errors import UserError

FLAGS = {"coordinator": "--coordinator", "processes": "--processes", "process_id": "--process-id"}


def add_processes(parser: ArgumentParser) -> None:
    """Adds who the others are."""
    group = parser.add_argument_group(
        "several processes", "on one machine or many, by JAX; each is started with the same arguments but --process-id"
    )
    group.add_argument("--distributed", action="store_true", help="this is one of several; needs the next three")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are; --batch-size is of all together")
    group.add_argument("--process-id", type=int, metavar="I", help="0 to N-1; process 0 alone writes the run folder")
    group.add_argument(
        "--join-seconds", type=float, metavar="SECONDS", help="to wait for the others at the start (default: 300)"
    )


def check(options: Namespace) -> None:
    """Refuses options that cannot work, and has Keras choose JAX, before anything heavy is imported.

    Raises:
        UserError: An option is missing or wrong, or JAX is not installed.
    """
    given = [flag for name, flag in FLAGS.items() if getattr(options, name) is not None]
    if not options.distributed:
        if given:
            raise UserError(f"{given[0]} goes with --distributed")
        return
    if missing := [flag for flag in FLAGS.values() if flag not in given]:
        raise UserError(f"--distributed needs {' and '.join(missing)}, too (see keras-mobilenets train --help)")
    from keras_mobilenets.training.distribution import process_group
    from keras_mobilenets.training.recipe import find

    process_group.check(options.coordinator, options.processes, options.process_id)
    batch = find(options.recipe).batch_size if options.batch_size is None else options.batch_size
    if batch % options.processes:
        raise UserError(f"a batch of {batch} cannot be shared by {options.processes} processes evenly")
    os.environ["KERAS_BACKEND"] = "jax"


def join(options: Namespace) -> None:
    """Makes this one of several processes, where it shall be one."""
    if options.distributed:
        from keras_mobilenets.training.distribution.process_group import TIMEOUT, join_processes

        seconds = TIMEOUT if options.join_seconds is None else options.join_seconds
        join_processes(options.coordinator, options.processes, options.process_id, timeout=seconds)
