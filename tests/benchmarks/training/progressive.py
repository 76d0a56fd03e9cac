"""Training in stages beside training at one size: test accuracy, time, and the time to the same accuracy.

    python tests/benchmarks/training/progressive.py --recipe modern --image-size 128 --epochs 20 --threads 1

Both train the same network by the same recipe for the same epochs, in turns, with a new seed in each round. Seconds
count from the call of `training.fit` to the end of an epoch: tracing, validation and checkpoints are in them. A run of
stages has reached the other's accuracy at the first epoch whose validation accuracy is at least the other's best; its
time until then is given as a share of the other's whole run, and of its time until its own best epoch. CPU time of the
process tells the same on a machine that is busy with other things.
"""

import argparse
import dataclasses
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets import training


class Clock(keras.callbacks.Callback):
    """Seconds (wall, CPU) and validation accuracy at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.begun, self.epochs = self.now(), []

    @staticmethod
    def now():
        return np.array([time.perf_counter(), time.process_time()])

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((*(self.now() - self.begun), logs["val_accuracy"]))


def trained(builder, alpha, data, recipe):
    """One training: (its epochs' seconds, CPU seconds and validation accuracy; test accuracy)."""
    keras.utils.set_random_seed(recipe.seed)
    shape = (data.image_size, data.image_size, 3)
    model, clock = km.create_model(builder, input_shape=shape, alpha=alpha, classes=len(data.class_names)), Clock()
    with tempfile.TemporaryDirectory() as run_dir:
        training.fit(model, data, recipe, run_dir, callbacks=[clock], verbose=0)
    return np.array(clock.epochs), model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]


def first_at(epochs, accuracy):
    """The first epoch with that validation accuracy; None where there is none."""
    reached = np.flatnonzero(epochs[:, 2] >= accuracy)
    return epochs[reached[0]] if len(reached) else None


def shares(one_size, in_stages):
    """Of the time of one size: that of the stages, that until its accuracy, and the latter by one size's best epoch.

    Returns:
        Three rows of (wall, CPU); infinite where the accuracy was not reached.
    """
    best = one_size[:, 2].max()
    reached = first_at(in_stages, best)
    reached = np.full(3, np.inf) if reached is None else reached
    ends = one_size[-1], one_size[-1], first_at(one_size, best)
    return [part[:2] / end[:2] for part, end in zip((in_stages[-1], reached, reached), ends, strict=True)]


def main():
    """Prints a line for each round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes", help="a data set that training.load_data knows")
    parser.add_argument("--data-dir")
    parser.add_argument("--limit", type=int, help="images of each split")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--model", default="MobileNetV2")
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--recipe", default="default", help="of both; the other one's stages are set below")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--initial-size", type=float, default=training.Recipe.initial_size)
    parser.add_argument("--initial-regularization", type=float, default=training.Recipe.initial_regularization)
    parser.add_argument("--stages-epochs", type=int, help="another number of epochs in stages (default: the same)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0 for all")
    args = parser.parse_args()

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    data = training.load_data(args.data, args.image_size, args.batch_size, args.data_dir, limit=args.limit)
    plain = training.Recipe.named(args.recipe, epochs=args.epochs)
    grown = training.Recipe.named(
        args.recipe,
        epochs=args.stages_epochs or args.epochs,
        stages=args.stages,
        initial_size=args.initial_size,
        initial_regularization=args.initial_regularization,
    )
    train, validation = data.count("train"), data.count("validation")  # read now, and not in the first training's time
    print(f"{args.model} {args.alpha} on {data.name} at {args.image_size} px, {train} and {validation} images")
    print(f"one size: {plain}\nstages:   {grown}", flush=True)
    tests, found = [], []
    for number in range(args.rounds):
        runs = {}
        for recipe in (plain, grown) if number % 2 == 0 else (grown, plain):
            runs[recipe] = trained(args.model, args.alpha, data, dataclasses.replace(recipe, seed=number))
            ends = " ".join(f"{second:.0f}s:{accuracy:.1%}" for second, _, accuracy in runs[recipe][0])
            print(f"   {'at one size' if recipe is plain else 'in stages':12}{ends}", flush=True)
        (one_size, test), (in_stages, test_of_stages) = runs[plain], runs[grown]
        tests.append((test, test_of_stages))
        found.append(shares(one_size, in_stages))
        print(
            f"round {number + 1}: test top-1 {test:.2%} and in stages {test_of_stages:.2%}, best validation "
            f"{one_size[:, 2].max():.2%} and {in_stages[:, 2].max():.2%}, "
            f"{one_size[-1, 0]:.0f} s and {in_stages[-1, 0]:.0f} s"
        )
        print_shares(found[-1])
    print(f"medians of {args.rounds} rounds: test top-1 {np.median(tests, axis=0)[0]:.2%} at one size, ", end="")
    print(f"{np.median(tests, axis=0)[1]:.2%} in stages")
    print_shares(np.median(found, axis=0))


def print_shares(rows):
    """Three lines: whole run, until the other's best validation accuracy, and the same beside its best epoch."""
    for says, (wall, cpu) in zip(
        ("whole run in stages / at one size", "until its accuracy / its run", "until its accuracy / its best epoch"),
        rows,
        strict=True,
    ):
        print(f"   {says:36} {wall:6.2f}×   CPU {cpu:6.2f}×", flush=True)


if __name__ == "__main__":
    main()
