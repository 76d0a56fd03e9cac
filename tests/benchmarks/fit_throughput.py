"""Images per second of training.fit beside a bare model.fit on arrays in memory, in alternating rounds.

    python tests/benchmarks/fit_throughput.py --augmentation none light

Both train the same network with the same batches per epoch and validate after each; training.fit also shuffles,
augments, scales uint8 pixels, writes checkpoints and logs. A round's first epoch is left out: TensorFlow traces then.
The CPU time of the process is given too; it tells the two apart on a machine that is busy with other things.
"""

import argparse
import tempfile
import time

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import training
from keras_mobilenets.training import augment
from keras_mobilenets.training.recipe import make_optimizer


class Clock(keras.callbacks.Callback):
    """Keeps the time at the end of every epoch, after all that the epoch's end brings with it."""

    def on_train_begin(self, logs=None):
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        self.times.append((time.perf_counter(), time.process_time()))

    def seconds(self):
        return np.diff(self.times, axis=0).tolist()


def bare_epochs(model, data, recipe):
    """Seconds (wall, CPU) of each epoch of model.fit on float arrays."""
    arrays = {split: data.images(split) for split in ("train", "validation")}
    arrays = {split: (augment.scale(x).numpy(), y) for split, (x, y) in arrays.items()}
    model.compile(
        make_optimizer(recipe, model, data.steps_per_epoch()),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
        jit_compile=False,
    )
    clock = Clock()
    model.fit(
        *arrays["train"],
        batch_size=data.batch_size,
        validation_data=arrays["validation"],
        epochs=recipe.epochs,
        callbacks=[clock],
        verbose=0,
    )
    return clock.seconds()


def our_epochs(model, data, recipe):
    """Seconds (wall, CPU) of each epoch of training.fit."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as run_dir:
        training.fit(model, data, recipe, run_dir, callbacks=[clock], verbose=0)
    return clock.seconds()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes", help="a data set that training.load_data knows")
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=1280, help="training images per epoch")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--augmentation", nargs="+", default=["none", "light"], choices=["none", "light"])
    parser.add_argument("--epochs", type=int, default=3, help="per round; the first is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    images = args.images // args.batch_size * args.batch_size
    data = training.load_data(args.data, args.image_size, args.batch_size, args.data_dir, limit=images)
    sides = {f"training.fit, {name}": training.Recipe(args.epochs, augmentation=name) for name in args.augmentation}
    seconds = {"bare model.fit": []} | {side: [] for side in sides}
    for _ in range(args.rounds):
        for side in seconds:
            shape = (args.image_size, args.image_size, 3)
            model = km.MobileNetV2(input_shape=shape, alpha=args.alpha, classes=len(data.class_names))
            if side in sides:
                seconds[side] += our_epochs(model, data, sides[side])
            else:
                seconds[side] += bare_epochs(model, data, training.Recipe(args.epochs))
    print(f"MobileNetV2 {args.alpha} at {args.image_size} px, {data.count('train')} images per epoch,")
    print(f"medians of {args.rounds} alternating rounds of {args.epochs - 1} epochs")
    base = np.median(seconds["bare model.fit"], axis=0)
    for side, values in seconds.items():
        wall, cpu = np.median(values, axis=0)
        spread = np.ptp(values, axis=0)[0] / wall
        print(
            f"{side:22} {data.count('train') / wall:8.0f} images/s  {base[0] / wall:5.2f}× (spread {spread:.0%})"
            f"   CPU {1000 * cpu / data.count('train'):6.2f} ms/image  {base[1] / cpu:5.2f}×"
        )


if __name__ == "__main__":
    main()
