"""Separable convolutions in the place of fully connected layers: parameters, HR@10 and NDCG@10 of the next item.

    python tests/benchmarks/training/next_item.py --out runs/next_item [--data visits] [--seeds 0 1 2]

Both networks train with the same recipe on the same examples; each takes the dropout that does best on the validation
items with the first seed. The last item of each user is ranked among all items. Beside them stands a Markov chain: the
counts of what followed the last item, smoothed by popularity. A stopped program goes on where it was.
"""

import argparse
import dataclasses
from pathlib import Path

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import training
from keras_mobilenets.tflite.measurement.evaluation import score
from keras_mobilenets.training.evaluation.forward_pass import forward_pass

NETWORKS = ("SeparableSequenceNet", "DenseSequenceNet")


def trained(network, data, recipe, dropout, seed, folder):
    """A network of a seed, trained into a folder."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    classes = len(data.class_names)
    model = km.create_model(network, input_shape=data.input_shape, classes=classes, dropout_rate=dropout)
    run = folder / f"{network}_{dropout}_{seed}"
    training.fit(model, data, dataclasses.replace(recipe, seed=seed), run)
    return model


def judged(model, data, split):
    """NDCG@10 and HR@10 of a split."""
    histories, labels = data.inputs(split)
    forward = forward_pass(model)
    pieces = [forward(histories[first : first + 256]) for first in range(0, len(histories), 256)]
    return score(np.concatenate(pieces), labels, ranked=True).figures


def markov(data):
    """The figures of a Markov chain on the test items."""
    (histories, labels), (asked, expected) = data.images("train"), data.images("test")
    popularity = np.bincount(labels, minlength=len(data.class_names))
    counts = np.zeros((len(popularity) + 1, len(popularity)))
    np.add.at(counts, (histories[:, -1], labels), 1)
    return score(counts[asked[:, -1]] + popularity / popularity.sum(), expected, ranked=True).figures


def main():
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="visits")
    parser.add_argument("--data-dir")
    parser.add_argument("--size", type=int, help="items of a history")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--dropout", type=float, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = training.Recipe.named("next_item", epochs=options.epochs)
    data = training.load_data(options.data, options.size, 256, options.data_dir)
    best: dict[str, float] = {}
    found: dict[str, list[dict[str, float]]] = {network: [] for network in NETWORKS}
    for seed in options.seeds:
        for network in NETWORKS:
            tried = [best[network]] if network in best else options.dropout
            models = {rate: trained(network, data, recipe, rate, seed, options.out) for rate in tried}
            if network not in best:
                best[network] = max(tried, key=lambda rate: judged(models[rate], data, "validation")["ndcg10"])
            model = models[best[network]]
            found[network].append(judged(model, data, "test"))
            print(
                f"{network}, {model.count_params():,} parameters, dropout {best[network]}, seed {seed}: "
                f"{said(found[network][-1:])}",
                flush=True,
            )
    for network, figures in found.items():
        print(f"{network}, mean of {len(figures)} seeds: {said(figures)}")
    print(f"Markov chain: {said([markov(data)])}")


def said(figures):
    """The means of figures in words."""
    names = {"ndcg10": "NDCG@10", "hr10": "HR@10"}
    return ", ".join(f"{words} {np.mean([each[name] for each in figures]):.4f}" for name, words in names.items())


if __name__ == "__main__":
    main()
