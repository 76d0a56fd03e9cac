"""What a search's estimates are worth: their rank correlation with trained accuracy, and the network that is found.

Every piece is kept in --out and done once, so that the program can be stopped and given again.

python tests/benchmarks/training/architecture_search.py rank --epochs 5 --out runs/searched
python tests/benchmarks/training/architecture_search.py found --epochs 5 --candidates 200 --out runs/searched
python tests/benchmarks/training/architecture_search.py digits --epochs 30 --out runs/searched
python tests/benchmarks/training/architecture_search.py latency --ms 0.3 --out runs/searched

train: random candidates under the multiply-adds of MobileNetV2 0.35 are trained. rank: Kendall's tau of every proxy, of
the proxies together, of the shared weights and of the learned choices with their accuracy, with the 95% interval of
2,000 bootstrap samples. found: the network that is found under that budget and MobileNetV2 0.35, with the same recipe,
beside those candidates. digits: the same two on scikit-learn's digits (`make world`). latency: networks at a latency
budget, measured beside what the table says.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
from digits import digits_folder

import keras_mobilenets as km
from keras_mobilenets import files, training
from keras_mobilenets.costs.operators import operators, spec_cost
from keras_mobilenets.models.mobilenets.searched import mobilenet_v2_spec
from keras_mobilenets.models.mobilenets.spec import read_spec
from keras_mobilenets.training.architecture_search.budget import Budget, Costs
from keras_mobilenets.training.architecture_search.candidate import scores
from keras_mobilenets.training.architecture_search.differentiable import Choices
from keras_mobilenets.training.architecture_search.evolution import draw
from keras_mobilenets.training.architecture_search.search import SUPERNET
from keras_mobilenets.training.architecture_search.shared_weights import SharedWeights
from keras_mobilenets.training.architecture_search.space import mobile_space
from keras_mobilenets.training.architecture_search.supernet import Supernet
from keras_mobilenets.training.architecture_search.zero_cost import ZeroCost

RECIPE = training.Recipe(learning_rate=4e-3, warmup_epochs=0.3, weight_decay=0.05, augmentation="none")


class Pieces:
    """A JSON file of results by name."""

    def __init__(self, folder, kind):
        self.path = Path(folder) / f"{kind}.json"
        self.known = files.read_json(self.path) if self.path.exists() else {}

    def get(self, name, make):
        if name not in self.known:
            started = time.perf_counter()
            self.known[name] = make()
            files.write_json(self.path, self.known)
            print(f"{name}: {self.known[name]} in {time.perf_counter() - started:.0f} s", flush=True)
        return self.known[name]


def trained_top1(spec, data, epochs, seed):
    """The test accuracy of a network that is trained from scratch, in percent."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = km.create_model("Searched", spec=spec, classes=len(data.class_names), dropout_rate=0)
    training.fit(model, data, dataclasses.replace(RECIPE, epochs=epochs, seed=seed), verbose=0)
    return 100 * model.evaluate(data.test, verbose=0)[1]


def random_networks(options, data):
    """The costs under the multiply-adds of MobileNetV2 0.35, the space, and the genes of random networks within."""
    space, classes = mobile_space(options.size), len(data.class_names)
    costs = Costs(Budget(macs=spec_cost(mobilenet_v2_spec(0.35, options.size), classes).macs), classes, None)
    generator = np.random.default_rng(1)
    return costs, space, [draw(space, costs, generator) for _ in range(options.networks)]


def train(options, data):
    """Trains the random networks; the accuracies of each, one a seed."""
    _, space, genes = random_networks(options, data)
    specs = {f"random {number}": space.spec(each) for number, each in enumerate(genes)}
    return trained(options, data, specs, options.seeds)


def trained(options, data, specs, seeds):
    """The accuracies of networks by name, one a seed."""
    pieces, found = Pieces(options.out, "trained"), {name: [] for name in specs}
    for seed in range(seeds):
        for name, spec in specs.items():
            top1 = pieces.get(f"{name} seed {seed}", lambda: trained_top1(spec, data, options.epochs, seed))  # noqa: B023
            found[name].append(top1)
    return found


def kendall(a, b):
    """Kendall's tau-b of two lists."""
    first, second = (np.sign(np.subtract.outer(x, x))[np.triu_indices(len(x), 1)] for x in (a, b))
    return float((first * second).sum() / max(1e-9, np.sqrt((first != 0).sum() * (second != 0).sum())))


def tau(a, b):
    """Kendall's tau with its interval."""
    generator, a, b = np.random.default_rng(0), np.array(a), np.array(b)
    drawn = [generator.integers(len(a), size=len(a)) for _ in range(2000)]
    low, high = np.quantile([kendall(a[i], b[i]) for i in drawn], [0.025, 0.975])
    return f"{kendall(a, b):5.2f} ({low:.2f} to {high:.2f})"


def rank(options, data):
    """Prints the rank correlations."""
    costs, space, genes = random_networks(options, data)
    pieces, zero = Pieces(options.out, "estimates"), ZeroCost(data, space, 0)
    figures = [pieces.get(f"proxies {number}", lambda: zero(each)) for number, each in enumerate(genes)]  # noqa: B023
    by_seed = np.array(list(train(options, data).values()))
    top1 = by_seed.mean(axis=1)
    print(f"trained: {min(top1):.1f} to {max(top1):.1f}%, median {np.median(top1):.1f}%")
    for seed in range(1, options.seeds):
        print(f"seeds 0 and {seed}    {tau(by_seed[:, 0], by_seed[:, seed])}")
    for name in figures[0]:
        print(f"{name:16} {tau([f[name] for f in figures], top1)}")
    print(f"{'zero-cost':16} {tau(scores(figures), top1)}")
    for name in ("macs", "parameters"):
        print(f"{name:16} {tau([getattr(costs.of(space.spec(g)), name) for g in genes], top1)}")
    keras.utils.set_random_seed(0)
    recipe = dataclasses.replace(SUPERNET, epochs=options.supernet_epochs)
    shared = SharedWeights(Supernet(space, costs.classes), costs, data, recipe, options.out / "supernet.npz")
    shared.train()
    one = [pieces.get(f"one-shot {number}", lambda: shared.accuracy(each)) for number, each in enumerate(genes)]  # noqa: B023
    print(f"{'one-shot':16} {tau(one, top1)}")
    choices = Choices(shared.supernet, costs, 0, options.out / "choices.json")
    choices.learn(data, recipe.augmentation)
    print(f"{'differentiable':16} {tau([choices.log_probability(g) for g in genes], top1)}")


def found(options, data):
    """Prints the test accuracies of three seeds, and of the random networks of `rank`."""
    costs, space, _ = random_networks(options, data)
    result = training.search(
        data,
        space,
        costs.budget,
        options.method,
        candidates=options.candidates,
        recipe=dataclasses.replace(SUPERNET, epochs=options.supernet_epochs),
        run_dir=options.out / f"search-{options.method}",
    )
    networks = {f"found {options.method}": result.spec, "MobileNetV2 0.35": mobilenet_v2_spec(0.35, options.size)}
    for name, top1 in trained(options, data, networks, 3).items():
        cost, listed = costs.of(networks[name]), ", ".join(f"{value:.1f}" for value in top1)
        print(f"{name:20} {np.mean(top1):5.1f}% ({listed}), {cost.macs / 1e6:.2f} M, {cost.parameters:,} parameters")
    means = [np.mean(top1) for top1 in train(options, data).values()]
    print(f"random networks: median {np.median(means):.1f}%, {min(means):.1f} to {max(means):.1f}%")


def digits(options, data):
    """Prints the test accuracies of the network that `found` has, on scikit-learn's digits."""
    images = training.load_data(digits_folder(options.out / "digits"), options.size)
    found = read_spec(options.out / f"search-{options.method}" / "spec.json")
    specs = {f"{options.method} on digits": found, "MobileNetV2 0.35 on digits": mobilenet_v2_spec(0.35, options.size)}
    for name, top1 in trained(options, images, specs, 3).items():
        print(f"{name:26} {np.mean(top1):5.2f}% ({', '.join(f'{value:.2f}' for value in top1)})")


def latency(options, data):
    """Prints what the table says of networks at a latency budget, and what they take."""
    from keras_mobilenets.pipeline.architecture_search import Stopwatch, fit_table
    from keras_mobilenets.tflite.measurement.operator_latency import OperatorLatencies

    table, space, classes = OperatorLatencies(options.out / "operators.json"), mobile_space(options.size), 10
    stopwatch = Stopwatch(table, classes)
    if table.error is None:
        fit_table(table, space, stopwatch)
    print(f"median error for networks that were left out of the fit: {table.error:.1%}")
    costs, generator = Costs(Budget(ms=options.ms), classes, table), np.random.default_rng(3)
    near = []
    while len(near) < options.networks:
        genes = draw(space, costs, generator)
        if costs.of(space.spec(genes)).latency_ms > 0.9 * options.ms:
            near.append(space.spec(genes))
    estimated = [table.ms(operators(spec, classes)) for spec in near]
    measured = stopwatch(near)
    for said, took in zip(estimated, measured, strict=True):
        print(f"{said:.3f} ms by the table, {took} measured, ×{took.ms / said:.3f}")
    errors = [abs(said / took.ms - 1) for said, took in zip(estimated, measured, strict=True)]
    print(f"median error {np.median(errors):.1%}")


def main():
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "rank", "found", "digits", "latency"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4, help="of each training")
    parser.add_argument("--supernet-epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, default=8000, help="training images")
    parser.add_argument("--networks", type=int, default=20, help="random ones")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--method", default="zero-cost")
    parser.add_argument("--seeds", type=int, default=1, help="of each random network")
    parser.add_argument("--ms", type=float, default=0.3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = training.load_data("shapes", options.size, limit={"train": options.limit})
    {"train": train, "rank": rank, "found": found, "digits": digits, "latency": latency}[options.what](options, data)


if __name__ == "__main__":
    main()
