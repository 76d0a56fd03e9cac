"""Images per second of the input pipeline, by augmentation, beside those of the training step it has to feed.

    python tests/benchmarks/training/input_pipeline.py --image-size 64 96

Both have the whole machine, in turns; the pipeline must be the faster one, or training waits for it. CPU time per image
is what the two cost each other where they share cores.
"""

import argparse
import time

import numpy as np

import keras_mobilenets as km
from keras_mobilenets import training
from keras_mobilenets.training.engine.batch_normalization import fused_batch_norm
from keras_mobilenets.training.engine.optimizer import make_optimizer
from keras_mobilenets.training.recipe import RECIPES

AUGMENTATIONS = ["none", "light", "crop+flip", "light+mixup", RECIPES["modern"].recipe["augmentation"]]


def timed(work, images):
    """Images per second and CPU milliseconds per image of one call."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return images / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / images


def reader(data, augmentation, steps):
    """Reads so many batches of a pipeline that runs already."""
    batches = iter(data.epochs(0, 10_000, 0, augmentation))
    for _ in range(5):
        next(batches)

    def read():
        for _ in range(steps):
            next(batches)

    return read


def trainer(data, alpha, steps):
    """Takes so many training steps on one batch that is there."""
    size, classes = data.image_size, len(data.class_names)
    model = km.MobileNetV2((size, size, 3), alpha=alpha, classes=classes)
    recipe = training.Recipe(epochs=1)
    model.compile(make_optimizer(recipe, model, steps), "sparse_categorical_crossentropy", jit_compile=False)
    batch = next(iter(data.epochs(0, 1)))
    model.make_train_function()

    def train():
        for _ in range(steps):
            model.train_function(iter([batch]))

    with fused_batch_norm():
        train()
    return train


def main():
    """Prints a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes", help="a data set that training.load_data knows")
    parser.add_argument("--data-dir")
    parser.add_argument("--image-size", type=int, nargs="+", default=[64])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--steps", type=int, default=20, help="batches in a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    for size in args.image_size:
        data = training.load_data(args.data, size, args.batch_size, args.data_dir, limit=20 * args.batch_size)
        sides = {f"training step, MobileNetV2 {args.alpha}": trainer(data, args.alpha, args.steps)}
        sides |= {name: reader(data, name, args.steps) for name in AUGMENTATIONS}
        found = {side: [] for side in sides}
        for _ in range(args.rounds):
            for side, work in sides.items():
                found[side].append(timed(work, args.steps * args.batch_size))
        base = next(iter(found.values()))
        print(f"{size} px, batches of {args.batch_size}, medians of {args.rounds} alternating rounds")
        for side, values in found.items():
            rate, cpu = np.median(values, axis=0)
            print(f"{side:58} {rate:8.0f} images/s {rate / np.median(base, axis=0)[0]:6.2f}×  CPU {cpu:6.2f} ms/image")


if __name__ == "__main__":
    main()
