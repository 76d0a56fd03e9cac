"""Images per second of training: training.fit beside a bare model.fit of keras.applications' MobileNetV2, and beside
torchvision's in channels-last.

    python tests/benchmarks/training/training_speed.py --alpha 1.0 0.5 0.35 --image-size 224 96 64 --batch-size 32 64 64
    python tests/benchmarks/training/training_speed.py --backend jax --precision bfloat16 \\
        --image-size 224 --against torch

Every side is a process of its own, and they take turns of so many steps, so that their threads never meet; the ratios
are medians of the rounds' ratios. All take the same steps (forward, backward, AdamW, loss and accuracy) on batches of
the same size from images in memory; noise, as contents do not change the speed. training.fit also shuffles and
augments uint8 pixels and smooths labels; the others get float32 arrays in order (torch) or shuffled (Keras). A turn's
first steps are not timed: buffers fill, caches warm up. What follows the last step of an epoch (validation; in
training.fit also checkpoint, best model, logs) has a column of its own.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

SIDES = {
    "fit": "training.fit",
    "modern": 'training.fit, recipe "modern"',
    "keras": "keras.applications, model.fit",
    "keras-xla": "the same as Keras compiles by default (XLA)",
    "torch": "torchvision, channels-last",
}
SEED = 0


@dataclass(frozen=True)
class Setting:
    """What all sides have in common; `precision` is "float32" or "bfloat16" (mixed: the weights are float32)."""

    backend: str
    precision: str
    alpha: float
    image_size: int
    batch_size: int
    classes: int
    steps: int
    rounds: int
    threads: int

    @property
    def settling(self):
        """Steps at the start of a turn that are not timed."""
        return max(1, self.steps // 5)

    @property
    def shape(self):
        return self.image_size, self.image_size, 3

    def __str__(self):
        return (
            f"MobileNetV2 {self.alpha:g} at {self.image_size} px, batches of {self.batch_size}, {self.classes} classes,"
            f" {self.precision}"
        )


# ---- The process of one side


class Clock:
    """Waits for its turn before every epoch but the first, and says afterwards how long it took.

    Used as a Keras callback by `keras_clock`, and by the loop of torch itself.
    """

    def __init__(self, setting, channel, versions):
        self.setting, self.channel, self.versions = setting, channel, versions
        self.times = []

    def epoch_begins(self, epoch):
        if epoch > 0:
            self.say()
            if not sys.stdin.readline():
                sys.exit()
        self.times = []

    def step_ends(self, step, wait):
        """Keeps the time after the steps that count; `wait` returns when all the computing is done."""
        if step in (self.setting.settling - 1, self.setting.steps - 1):
            wait()
            self.times.append((time.perf_counter(), time.process_time()))

    def say(self):
        (start, cpu_start), (end, cpu_end) = self.times
        images = (self.setting.steps - self.setting.settling) * self.setting.batch_size
        found = {
            "images_per_second": images / (end - start),
            "cpu_ms": 1000 * (cpu_end - cpu_start) / images,
            "end_of_epoch": time.perf_counter() - end,
            "versions": self.versions,
        }
        print(json.dumps(found), file=self.channel, flush=True)


def keras_clock(clock):
    """The clock as a callback; the caller's callbacks are called before those of training.fit."""
    import keras

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: clock.epoch_begins(epoch),
        on_train_batch_end=lambda step, logs: clock.step_ends(step, lambda: float(logs["loss"])),
        on_train_end=lambda logs: clock.say(),
    )


def noise(setting):
    """uint8 images and labels of an epoch."""
    import numpy as np

    draws, count = np.random.default_rng(SEED), setting.steps * setting.batch_size
    return draws.integers(0, 256, (count, *setting.shape), np.uint8), draws.integers(0, setting.classes, count)


def run_fit(setting, clock, name):
    """training.fit with a recipe, as a user calls it, in a run folder."""
    import tensorflow as tf

    import keras_mobilenets as km
    from keras_mobilenets import training
    from keras_mobilenets.training.datasets.images import Images
    from keras_mobilenets.training.datasets.split import Split
    from keras_mobilenets.training.tasks.classification import Classification

    images, labels = noise(setting)
    validation = images[: len(images) // 4], labels[: len(labels) // 4]
    splits = {
        split: Split(
            len(arrays[1]),
            lambda seed, first, arrays=arrays: tf.data.Dataset.from_tensor_slices(arrays),
            lambda arrays=arrays: arrays[1],
        )
        for split, arrays in (("train", (images, labels)), ("validation", validation), ("test", validation))
    }
    names = [f"class {number}" for number in range(setting.classes)]
    data = training.Data("noise", Classification(names), splits, Images(setting.image_size), setting.batch_size)
    model = km.MobileNetV2(setting.shape, alpha=setting.alpha, classes=setting.classes)
    recipe = training.Recipe.named(name, epochs=setting.rounds + 1, precision=setting.precision)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, recipe, folder, callbacks=[keras_clock(clock)], verbose=0)


def run_keras(setting, clock, jit_compile):
    """keras.applications and model.fit on arrays, as the documentation of Keras shows it."""
    import keras

    if setting.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{setting.precision}")
    model = keras.applications.MobileNetV2(
        setting.shape, alpha=setting.alpha, weights=None, classes=setting.classes, classifier_activation=None
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(3e-3), loss, metrics=["accuracy"], jit_compile=jit_compile)
    images, labels = noise(setting)
    images = images.astype("float32") / 127.5 - 1
    model.fit(
        images,
        labels,
        batch_size=setting.batch_size,
        validation_data=(images[: len(images) // 4], labels[: len(labels) // 4]),
        epochs=setting.rounds + 1,
        callbacks=[keras_clock(clock)],
        verbose=0,
    )


def run_torch(setting, clock):
    """torchvision's MobileNetV2 in channels-last in the usual loop, with automatic mixed precision below float32."""
    import torch
    import torchvision

    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    model = torchvision.models.mobilenet_v2(num_classes=setting.classes, width_mult=setting.alpha)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, fused=True)
    criterion = torch.nn.CrossEntropyLoss()
    images, labels = noise(setting)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)  # NHWC in memory: channels-last
    labels = torch.from_numpy(labels)
    if on_gpu:
        images, labels = images.pin_memory(), labels.pin_memory()
    batches = list(zip(images.split(setting.batch_size), labels.split(setting.batch_size), strict=True))
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bfloat16")

    for epoch in range(setting.rounds + 1):
        clock.epoch_begins(epoch)
        model.train()
        total, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        for step, batch in enumerate(batches):
            x, y = (part.to(device, non_blocking=True) for part in batch)
            with mixed:
                outputs = model(x)
                loss = criterion(outputs, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            correct += (outputs.argmax(1) == y).sum()
            clock.step_ends(step, total.item)
        model.eval()
        with torch.no_grad(), mixed:
            for x, y in batches[: len(batches) // 4]:
                correct += (model(x.to(device)).argmax(1) == y.to(device)).sum()
        correct.item()
    clock.say()


def run_side(side, setting):
    """Runs one side; what it measures goes to what was stdout, and all that is printed besides to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):  # every library takes as many threads as there are cores for it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.threads])
    packages = ("torch", "torchvision") if side == "torch" else ("tensorflow", "keras", "jax", "keras_mobilenets")
    versions = {package: metadata.version(package) for package in packages if package != "jax" or is_there("jax")}
    clock = Clock(setting, channel, versions)
    if side == "torch":
        run_torch(setting, clock)
    elif side.startswith("keras"):
        # Without XLA on TensorFlow: there it makes a step several times slower on a CPU ("keras-xla" shows it).
        run_keras(setting, clock, False if side == "keras" and setting.backend == "tensorflow" else "auto")
    else:
        run_fit(setting, clock, {"fit": "default", "modern": "modern"}[side])


def is_there(package):
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


# ---- The process that gives the turns


class Side:
    """A process that waits for its turns; making one waits until its first epoch is over."""

    def __init__(self, side, setting, python):
        environment = {
            "KERAS_BACKEND": setting.backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # a GPU's memory is for all sides
            "XLA_PYTHON_CLIENT_MEM_FRACTION": ".25",
        }
        command = [python, __file__, "--side", side, "--setting", json.dumps(asdict(setting))]
        self.name, self.found = side, []
        self.process = subprocess.Popen(
            command, env=environment | os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions = self.answer()["versions"]

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.found.append(self.answer())

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the side {self.name!r} ended before its time; what it said is above")
        return json.loads(line)

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(setting, sides, pythons):
    """What each side says of each of its turns, and the versions of all packages."""
    processes = []
    try:
        for side in sides:
            processes.append(Side(side, setting, pythons.get(side, sys.executable)))
        for turn in range(setting.rounds):
            for process in processes if turn % 2 == 0 else processes[::-1]:
                process.turn()
        versions = {name: version for process in processes for name, version in process.versions.items()}
        return {process.name: process.found for process in processes}, versions
    finally:
        for process in processes:
            process.end()


def ratio(found, side, base):
    """Median over the rounds of a side's images per second in those of another."""
    if base not in found or side == base:
        return None
    pairs = zip(found[side], found[base], strict=True)
    return statistics.median(mine["images_per_second"] / theirs["images_per_second"] for mine, theirs in pairs)


def rows(found):
    """A row of the table for each side."""
    for side, turns in found.items():
        rates = [turn["images_per_second"] for turn in turns]
        yield {
            "side": SIDES[side],
            "images/s": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "× Keras": ratio(found, side, "keras"),
            "× torch": ratio(found, side, "torch"),
            "CPU ms/image": statistics.median(turn["cpu_ms"] for turn in turns),
            "epoch's end, s": statistics.median(turn["end_of_epoch"] for turn in turns),
        }


def table(setting, found):
    """The rows as Markdown."""
    digits = {"side": "", "× Keras": ".2f", "× torch": ".2f", "CPU ms/image": ".2f", "epoch's end, s": ".2f"}
    lines = []
    for row in rows(found):
        cells = ["–" if value is None else format(value, digits.get(name, ".1f")) for name, value in row.items()]
        lines += [] if lines else [list(row), ["---", *["--:"] * (len(row) - 1)]]
        lines.append(cells)
    return "\n".join([f"{setting}:", "", *("| " + " | ".join(cells) + " |" for cells in lines)])


def machine():
    """Processor and graphics card in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")] or [platform.processor()]
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        cards = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    except OSError:
        cards = ""
    return f"{os.cpu_count()} × {names[0]}, {cards or 'no GPU'}"


def python_with_torch(given):
    """The Python that has torch and torchvision; ends the program with what to install where none has."""
    python = given or sys.executable
    if subprocess.run([python, "-c", "import torch, torchvision"], capture_output=True, check=False).returncode:
        sys.exit(f"{python} has no torch: pip install torch torchvision in any Python, and give it by --torch-python")
    return python


def main():
    """Prints the tables, and writes them with all single measurements where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alpha", type=float, nargs="+", default=[1.0], help="one for each setting")
    parser.add_argument("--image-size", type=int, nargs="+", default=[224], help="one for each setting, or one for all")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32], help="the same")
    parser.add_argument("--classes", type=int, nargs="+", default=[1000], help="the same")
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--recipes", nargs="+", default=["default"], choices=("default", "modern"))
    parser.add_argument("--against", nargs="+", default=["keras", "torch"], choices=[*SIDES][2:])
    parser.add_argument("--steps", type=int, default=15, help="in a turn; the first fifth is not timed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch-python", help="a Python that has torch and torchvision; default: this one")
    parser.add_argument("--out", type=Path, help="table.md; table.json beside it has every turn")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return run_side(args.side, Setting(**json.loads(args.setting)))

    sides = [{"default": "fit"}.get(recipe, recipe) for recipe in args.recipes] + args.against
    pythons = {"torch": python_with_torch(args.torch_python)} if "torch" in sides else {}
    lists = [args.alpha, args.image_size, args.batch_size, args.classes]
    if any(len(values) not in (1, len(args.alpha)) for values in lists):
        parser.error("give one --image-size, --batch-size and --classes, or as many as --alpha")
    texts, measured = [], []
    for values in zip(*(values * (len(args.alpha) // len(values)) for values in lists), strict=True):
        setting = Setting(args.backend, args.precision, *values, args.steps, args.rounds, args.threads)
        found, versions = measure(setting, sides, pythons)
        texts.append(table(setting, found))
        print(texts[-1], end="\n\n", flush=True)
        measured.append({"setting": asdict(setting), "turns": found})
    where = f"{machine()}; threads: {args.threads}; {args.backend} backend; " + ", ".join(
        map(" ".join, versions.items())
    )
    how = f"Medians of {args.rounds} rounds of {args.steps} steps; ratios are medians of the rounds' ratios."
    print(where, how, sep="\n")
    if args.out:
        args.out.write_text("\n\n".join([*texts, where, how]) + "\n", encoding="utf-8")
        beside = {"machine": machine(), "versions": versions, "measured": measured}
        args.out.with_suffix(".json").write_text(json.dumps(beside, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
