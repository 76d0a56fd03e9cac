"""The shared weights against networks that stand alone, and the mean cost of mixtures against plain counts."""

import re

import numpy as np
import pytest
from networks import coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets.costs.operators import macs, operators
from keras_mobilenets.training.architecture_search.expected_cost import ExpectedCost
from keras_mobilenets.training.architecture_search.space import Space, StageChoices
from keras_mobilenets.training.architecture_search.supernet import Supernet

SPACE = Space(
    (
        StageChoices((8, 16), (1,), 1, expansion=(1,)),
        StageChoices((8, 16), (1, 2), 2, expansion=(2, 3.5)),
        StageChoices((16, 24), (1, 3), 1, expansion=(2, 4)),
    ),
    input_size=(32,),
    stem_filters=(8, 16),
    head_filters=(24, 32),
)


@pytest.fixture(scope="module")
def supernet():
    found = Supernet(SPACE, classes=5)
    randomize(found.model, kernels=True)
    return found


def _sliced(values, shape):
    """The middle of a kernel, and the first channels."""
    starts = [(have - want) // 2 for have, want in zip(values.shape, shape, strict=True)]
    starts[max(0, len(shape) - 2) :] = [0] * min(2, len(shape))
    return values[tuple(slice(start, start + want) for start, want in zip(starts, shape, strict=True))]


def _places(spec):
    """The blocks of a network by their names in the largest, whose stages have more of them."""
    index, places = 0, []
    for stage, choices in zip(spec.stages, SPACE.stages, strict=True):
        places += range(index, index + stage.repeats)
        index += max(choices.repeats)
    return {f"block_{number}": f"block_{place}" for number, place in enumerate(places)}


@pytest.mark.parametrize("seed", range(4))
def test_a_choice_computes_what_its_network_computes_with_the_weights_that_it_shares(supernet, seed):
    genes = (SPACE.smallest(), SPACE.largest(), *(SPACE.random(np.random.default_rng(s)) for s in (1, 5)))[seed]
    alone = km.create_model("Searched", spec=SPACE.spec(genes), classes=5, classifier_activation=None, dropout_rate=0)
    places = _places(SPACE.spec(genes))
    for layer in alone.layers:
        if layer.weights:
            shared = supernet.model.get_layer(re.sub(r"^block_\d+", lambda found: places[found[0]], layer.name))
            pairs = zip(shared.weights, layer.weights, strict=True)
            layer.set_weights([_sliced(np.array(theirs), own.shape) for theirs, own in pairs])
    images = coloured_noise(6).astype(np.float32) / 127.5 - 1
    expected = np.asarray(alone(images, training=True))
    found = np.asarray(supernet.logits(images, supernet.choice(genes)))
    np.testing.assert_allclose(found, expected, atol=1e-4 * abs(expected).max())
    assert expected.std() > 0.01


def test_the_mean_cost_is_the_mean_over_networks():
    expected = ExpectedCost(SPACE, 5, lambda part: part.macs)
    names, choices = zip(*SPACE.decisions(), strict=True)
    generator = np.random.default_rng(0)
    drawn = [SPACE.random(generator) for _ in range(2)]
    for genes in drawn:
        sure = {n: np.eye(len(c), dtype=np.float32)[g] for n, c, g in zip(names, choices, genes, strict=True)}
        assert float(expected(sure)) == pytest.approx(macs(operators(SPACE.spec(genes), 5)), rel=1e-5)
    place = names.index("stage_1_filters")
    pair = [tuple(gene if i == place else 0 for i in range(len(names))) for gene in (0, 1)]
    mixed = {n: np.eye(len(c), dtype=np.float32)[0] for n, c in SPACE.decisions()} | {
        names[place]: np.float32([0.25, 0.75])
    }
    each = [macs(operators(SPACE.spec(genes), 5)) for genes in pair]
    assert float(expected(mixed)) == pytest.approx(np.dot([0.25, 0.75], each), rel=1e-5)
