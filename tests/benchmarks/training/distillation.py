"""What a teacher is worth where labels are few, and what it costs: MobileNetV2 0.35 on a tenth of `shapes`.

    python tests/benchmarks/training/distillation.py [--teacher model.keras] [--seeds 0 1 2] \\
        [--cached-views 0] [--out folder]
    python tests/benchmarks/training/distillation.py --speed [--teacher model.keras]

The teacher, unless one is given, is MobileNetV2 1.0 trained on the whole training split. For each seed, the same
student trains with and without it: same first weights, same images, same recipe. Its best epoch is chosen on the
validation split and scored once on the whole test split. Exits with 1 unless the mean top-1 is higher with the teacher.

With --speed, instead: images per second of training with the labels alone, with the teacher, and with its answers
cached, in alternating rounds.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import training

SIZE, BATCH = 64, 32
# Labels are not smoothed: a smoothed teacher says less about the other classes (arXiv:1906.02629).
TEACHER = training.Recipe(epochs=8, label_smoothing=0.0)


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="a trained .keras file or a run folder")
    parser.add_argument("--share", type=float, default=0.1, help="of the training images that the student has")
    parser.add_argument("--alpha", type=float, default=0.35, help="width of the student")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--augmentation", default="light")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--teacher-share", type=float, default=0.7)
    parser.add_argument("--cached-views", type=int, default=0, help="as for training.distill")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--out", type=Path, help="keeps the runs there, and goes on with them")
    options = parser.parse_args()
    options.out = options.out or Path(tempfile.mkdtemp())
    whole = training.load_data("shapes", SIZE, BATCH)
    teacher = training.load_model(options.teacher) if options.teacher else trained(whole, options.out / "teacher")
    data = training.load_data("shapes", SIZE, BATCH, limit={"train": round(options.share * whole.count("train"))})
    print(f"teacher {teacher.name}: top-1 {top1(teacher, whole):.2%}; {data.count('train'):,} training images")
    return speed(teacher, data, options) if options.speed else accuracy(teacher, data, options)


def accuracy(teacher: keras.Model, data: training.Data, options: argparse.Namespace) -> int:
    """With the teacher and without."""
    how = {"temperature": options.temperature, "alpha": options.teacher_share, "cached_views": options.cached_views}
    found = []
    for seed in options.seeds:
        recipe = training.Recipe(epochs=options.epochs, augmentation=options.augmentation, seed=seed)
        alone, taught = student(data, options.alpha, seed), student(data, options.alpha, seed)
        training.fit(alone, data, recipe, options.out / f"alone_{seed}", verbose=0)
        training.distill(taught, teacher, data, recipe, options.out / f"taught_{seed}", verbose=0, **how)
        found.append([top1(alone, data), top1(taught, data)])
        print(f"seed {seed}: top-1 {found[-1][0]:.2%} alone, {found[-1][1]:.2%} with the teacher", flush=True)
    alone, taught = np.mean(found, axis=0)
    print(
        f"mean of {len(found)}: {alone:.2%} alone, {taught:.2%} with the teacher: {100 * (taught - alone):+.2f} points"
    )
    return 0 if taught > alone else 1


def speed(teacher: keras.Model, data: training.Data, options: argparse.Namespace, rounds: int = 3) -> int:
    """Images per second, without the first epoch, in which the step is traced and the cache filled."""
    recipe = training.Recipe(epochs=3, augmentation=options.augmentation)
    sides = {"labels alone": None, "teacher": 0, "teacher, cached": max(1, options.cached_views)}
    found: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side, views in sides.items():
            run_dir, model = options.out / f"speed_{turn}_{side}", student(data, options.alpha, 0)
            if views is None:
                training.fit(model, data, recipe, run_dir, verbose=0)
            else:
                training.distill(model, teacher, data, recipe, run_dir, cached_views=views, verbose=0)
            with open(run_dir / "history.csv") as file:
                found[side] += [float(row["images_per_second"]) for row in csv.DictReader(file)][1:]
    base = np.median(found["teacher"])
    for side, rates in found.items():
        print(f"{side:16} {np.median(rates):7.0f} images/s  {np.median(rates) / base:5.2f}× with the teacher at work")
    return 0


def trained(data: training.Data, run_dir: Path) -> keras.Model:
    """The teacher."""
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2((SIZE, SIZE, 3), classes=len(data.class_names))
    training.fit(model, data, TEACHER, run_dir, verbose=2)
    return model


def student(data: training.Data, alpha: float, seed: int) -> keras.Model:
    """Its first weights depend on the seed alone."""
    keras.utils.set_random_seed(seed)
    return km.MobileNetV2((SIZE, SIZE, 3), alpha=alpha, classes=len(data.class_names), dropout_rate=0.0)


def top1(model: keras.Model, data: training.Data) -> float:
    """On the whole test split."""
    return float(np.mean(model.predict(data.test, verbose=0).argmax(axis=1) == data.images("test")[1]))


if __name__ == "__main__":
    sys.exit(main())
