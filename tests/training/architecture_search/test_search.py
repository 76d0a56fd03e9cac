"""The search itself: budgets, ranks, fronts, and going on after a kill."""

import re

import keras
import numpy as np
import pytest
from command_line import one_line

import keras_mobilenets as km
from keras_mobilenets import files, training
from keras_mobilenets.cli import main
from keras_mobilenets.costs.operators import operators
from keras_mobilenets.models.mobilenets.spec import read_spec
from keras_mobilenets.tflite.measurement.operator_latency import OperatorLatencies
from keras_mobilenets.training.architecture_search.budget import Budget, Costs
from keras_mobilenets.training.architecture_search.candidate import History, Measured, front, scores
from keras_mobilenets.training.architecture_search.evolution import evolve
from keras_mobilenets.training.architecture_search.proxies import az_nas, naswot, synflow
from keras_mobilenets.training.architecture_search.space import Space, StageChoices, mobile_space

SMALL = Space((StageChoices((8, 16), (1, 2)), StageChoices((16, 24), (1, 2))), (32,), (8, 16), (24, 32))


def _evolved(path, count, seed=0, space=SMALL):
    history = History(path)
    evolve(
        space, Costs(Budget(macs=4e5), 5, None), lambda genes: {"accuracy": sum(genes) / 50}, history, count, seed, 8
    )
    return history


def test_evolution_finds_better_networks_within_the_budget_than_chance():
    history = _evolved(None, 60)
    found = [row["figures"]["accuracy"] for row in history.rows]
    assert max(found) > max(found[:8])
    assert len({tuple(row["genes"]) for row in history.rows}) == 60
    for row in history.rows:
        assert sum(part.macs for part in operators(SMALL.spec(tuple(row["genes"])), 5)) <= 4e5


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path):
    whole = _evolved(tmp_path / "whole.jsonl", 30)
    _evolved(tmp_path / "cut.jsonl", 17)
    with (tmp_path / "cut.jsonl").open("a") as file:
        file.write('{"genes": [0, 1')
    assert _evolved(tmp_path / "cut.jsonl", 30).rows == whole.rows
    assert (tmp_path / "cut.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()


def test_a_history_of_other_estimates_is_refused(tmp_path):
    history = History(tmp_path / "candidates.jsonl")
    history.add((0,), {"zico": 1.0})
    with pytest.raises(km.UserError, match="holds estimates by zico, of an earlier version"):
        History(tmp_path / "candidates.jsonl").add((1,), {"naswot": 2.0})


def test_proxies_rank_together_and_a_front_holds_what_nothing_beats():
    found = [{"a": 1.0, "b": 30.0}, {"a": 2.0, "b": 10.0}, {"a": float("nan"), "b": 20.0}]
    np.testing.assert_allclose(scores(found), [np.sqrt(2 / 3 * 1), np.sqrt(1 * 1 / 3), np.sqrt(1 / 3 * 2 / 3)])
    assert front([3.0, 1.0, 2.0, 2.0], [0.9, 0.2, 0.1, 0.5]) == [1, 3, 0]


def test_proxies_are_what_their_formulas_say():
    generator = np.random.default_rng(0)
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(6, 1, use_bias=False, name="a")(inputs)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5, use_bias=False, name="b")(x))
    a, b = (model.get_layer(name).kernel.numpy().squeeze() for name in "ab")
    flow = (np.ones(3) @ abs(a) @ abs(b)).sum()
    assert synflow(model) == pytest.approx(np.log(2 * flow), rel=1e-5)  # every layer of a chain has the whole flow
    images = generator.normal(size=(3, 4, 4, 3)).astype(np.float32)
    codes = (images @ a > 0).reshape(3, -1)
    kernel = (codes[:, None] == codes[None]).sum(-1)
    assert naswot(model, images) == pytest.approx(np.log(np.linalg.det(kernel)), rel=1e-5)


def test_blocks_are_judged_by_their_principal_components_and_their_jacobians():
    inputs = keras.Input((16, 16, 3))
    stem = keras.layers.Conv2D(4, 1, name="stem")(inputs)
    block = keras.layers.Conv2D(6, 2, strides=2, name="block_0_project")(stem)
    head = keras.layers.Conv2D(5, 1, name="head")(block)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(head))
    images = np.random.default_rng(0).normal(size=(64, 16, 16, 3)).astype(np.float32)
    entropies = []
    for output in (stem, block, head):
        rows = np.asarray(keras.Model(inputs, output)(images), np.float64)
        shares = np.linalg.svd((rows - rows.mean((0, 1, 2))).reshape(-1, rows.shape[-1]), compute_uv=False) ** 2
        shares /= shares.sum()
        entropies.append(-(shares * np.log(shares + 1e-8)).sum())
    kernels = [np.array(model.get_layer(name).kernel) for name in ("block_0_project", "head")]
    norms = [np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) for kernel in kernels]  # of a linear block
    found = az_nas(model, images)
    assert found["progressivity"] == pytest.approx(min(np.diff(entropies)), rel=1e-4)
    assert found["trainability"] == pytest.approx(np.mean([2 - norm - 1 / norm for norm in norms]), abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, "method must be one-shot, zero-cost, differentiable"),
        ({"candidates": 0}, "candidates=0"),
        ({"budget": Budget(ms=1.0)}, "needs the target's latencies"),
        ({"budget": Budget(parameters=1000)}, "no network of the space fits: the smallest has parameters"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(arguments, message, photos):
    data = training.load_data(photos, 32, batch_size=16)
    with pytest.raises(km.UserError, match=message):
        training.search(data, **arguments)


def test_the_space_is_made_of_choices():
    space = mobile_space(64, 48)
    assert space.size() > 1e10
    assert space.input_size == (48, 64)
    with pytest.raises(km.UserError, match="stage_0_repeats of a space must be a tuple"):
        Space((StageChoices((8,), ()),))
    with pytest.raises(km.UserError, match="kernel_size of a space must begin with the smallest"):
        Space((StageChoices((8,), kernel_size=(5, 3)),))
    with pytest.raises(km.UserError, match="the budget's macs is -1"):
        Budget(macs=-1)


class _Target:
    """A target whose table says a tenth less than its networks take, and of some even less."""

    def __init__(self):
        self.slowness, self.measured = {}, []

    def ms(self, parts):
        return sum(part.macs for part in parts) / 1e6

    def takes(self, spec):
        return self.ms(operators(spec, 2)) / 0.9 * self.slowness.get(spec, 1)

    def __call__(self, specs):
        self.measured += specs
        return [Measured(self.takes(spec), 0.99 * self.takes(spec), 1.01 * self.takes(spec)) for spec in specs]


@pytest.fixture
def measuring_search(photos, tmp_path):
    """A search whose networks are estimated already, on a `_Target` with 0.4 ms."""
    target, data = _Target(), training.load_data(photos, 32, batch_size=16)
    costs = Costs(Budget(ms=0.4), 2, target, 1.05)
    costs.correct(1 / 0.9)
    history = History(tmp_path / "candidates.jsonl")
    evolve(SMALL, costs, lambda genes: {"accuracy": sum(genes) / 50}, history, 40, 0, 8)
    options = {"candidates": 40, "latency": target, "stopwatch": target, "run_dir": tmp_path}
    return target, lambda: training.search(data, SMALL, costs.budget, "one-shot", **options)


def test_what_is_found_is_within_the_budget_as_measured(measuring_search):
    target, search = measuring_search
    found = search()
    assert found.correction == pytest.approx(1 / 0.9)
    assert found.best.measured == (pytest.approx(target.takes(found.spec)), *found.best.measured[1:])
    assert found.best.cost.latency_ms == pytest.approx(found.best.measured.ms)
    assert str(found.best.measured) in str(found)
    pairs = zip(found.estimates, found.candidates, strict=True)
    assert found.estimates[found.front[-1]] == max(e for e, each in pairs if target.takes(each.spec) <= 0.4)
    assert any(0.4 < each.cost.latency_ms < 0.42 for each in found.candidates)  # that might have fitted
    count = len(target.measured)
    assert search() == found
    assert len(target.measured) == count  # nothing is measured twice


def test_a_network_slower_than_predicted_gives_way_to_the_next_of_the_front(measuring_search, tmp_path):
    target, search = measuring_search
    predicted = search()
    (tmp_path / "measured.jsonl").unlink()
    target.slowness = {predicted.spec: 1.5}
    found = search()
    assert found.spec == read_spec(tmp_path / "spec.json") != predicted.spec
    assert found.best.measured.ms <= 0.4
    by_spec = {each.spec: each for each in found.candidates}
    assert by_spec[predicted.spec].measured.ms > 0.4
    (tmp_path / "measured.jsonl").unlink()
    target.slowness = {each.spec: 9 for each in predicted.candidates}
    with pytest.raises(km.UserError, match="no network of 40 is within the budget when measured"):
        search()


@pytest.mark.slow  # 20 seconds each, most of them to trace the supernet
@pytest.mark.parametrize("method", ["one-shot", "differentiable"])
def test_a_supernet_is_trained_once_and_its_networks_are_tried(method, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mobilenets.training.architecture_search.differentiable.STEPS", 4)
    data = training.load_data(photos, 32, batch_size=16)
    recipe = training.Recipe(epochs=2, warmup_epochs=0, augmentation="none")
    found = training.search(data, SMALL, Budget(macs=4e5), method, candidates=3, recipe=recipe, run_dir=tmp_path)
    again = training.search(data, SMALL, Budget(macs=4e5), method, candidates=3, recipe=recipe, run_dir=tmp_path)
    assert found == again
    assert all(0 <= estimate <= 1 for estimate in found.estimates)
    assert found.best.cost.macs <= 4e5
    with pytest.raises(km.UserError, match="holds a search with method"):
        training.search(data, SMALL, Budget(macs=4e5), "zero-cost", candidates=3, run_dir=tmp_path)


def test_the_verb_finds_a_network_that_train_takes(photos, tmp_path, monkeypatch, capsys):
    table = OperatorLatencies(tmp_path / "table.json")
    parts = [operators(SMALL.spec(genes), 2) for genes in (SMALL.smallest(), SMALL.largest())] * 2
    table.fit(parts, [table.ms(each) for each in parts])
    monkeypatch.setattr("keras_mobilenets.training.architecture_search.space.mobile_space", lambda size: SMALL)
    monkeypatch.setattr("keras_mobilenets.training.architecture_search.measurement.NEAR", 1)
    monkeypatch.setattr("keras_mobilenets.training.architecture_search.search.TOGETHER", 1)
    monkeypatch.setattr("keras_mobilenets.tflite.runtime.stopwatch._MOST_ROUNDS", 8)
    limit = 20 * table.ms(parts[0])  # microseconds: a busy machine must not decide whether a network fits
    command = [
        "search",
        "--data",
        str(photos),
        "--size",
        "32",
        "--method",
        "zero-cost",
        "--table",
        str(table.path),
        "--run",
        str(tmp_path / "run"),
    ]
    assert main([*command, "--max-ms", f"{limit:.6f}", "--candidates", "3"]) == 0
    out, err = capsys.readouterr()
    predicted, measured = re.search(r"([\d.]+) ms predicted, ([\d.]+ \(.*\)) ms measured\n$", out).groups()
    assert "spec.json" in err
    spec, page = read_spec(tmp_path / "run" / "spec.json"), (tmp_path / "run" / "report.html").read_text()
    front = files.read_json(tmp_path / "run" / "front.json")
    by_table = OperatorLatencies(table.path).ms(operators(spec, 2))  # with the operators that the search has added
    assert float(predicted) == pytest.approx(front["correction"] * by_table, abs=5e-4)
    assert front["front"][-1]["measured"]["ms"] <= limit
    assert measured in page
    assert spec.digest() in page
    assert f"on xnnpack within {limit:.3g} ms" in page
    assert "MobileNetV2 0.35" in page
    assert main([*command, "--max-ms", "1e-9"]) == 2
    assert "no network of the space fits: the smallest has latency" in one_line(capsys)
    assert main([*command, "--max-ms", f"{2 * limit:.6f}"]) == 2
    assert "holds a search with budget" in one_line(capsys)
    assert main([*command[:-1], str(tmp_path / "other"), "--target", "moon"]) == 2
    assert "operators cannot be measured on moon" in one_line(capsys)
