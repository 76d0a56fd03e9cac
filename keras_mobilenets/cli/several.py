"""The options of `train` that make it one of several processes."""

import os
from argparse import Namespace

from keras_mobilenets.errors import UserError

FLAGS = {"coordinator": "--coordinator", "processes": "--processes", "process_id": "--process-id"}


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
    from keras_mobilenets.cli.verbs import settle
    from keras_mobilenets.training.distribution import process_group

    process_group.check(options.coordinator, options.processes, options.process_id)
    settle(options)
    if options.batch_size % options.processes:
        raise UserError(f"a batch of {options.batch_size} cannot be shared by {options.processes} processes evenly")
    os.environ["KERAS_BACKEND"] = "jax"


def join(options: Namespace) -> None:
    """Makes this one of several processes, where it shall be one."""
    if options.distributed:
        from keras_mobilenets.training.distribution.process_group import TIMEOUT, join_processes

        seconds = TIMEOUT if options.join_seconds is None else options.join_seconds
        join_processes(options.coordinator, options.processes, options.process_id, timeout=seconds)
