"""The table of measured operators: what is timed, what is kept, and how it is compared with whole networks."""

import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import files
from keras_mobilenets.costs.operators import Operator, operators
from keras_mobilenets.models.mobilenets.searched import mobilenet_v2_spec
from keras_mobilenets.tflite.measurement import operator_latency
from keras_mobilenets.tflite.measurement.operator_latency import OperatorLatencies
from keras_mobilenets.tflite.measurement.operator_model import operator_model
from keras_mobilenets.tflite.runtime import stopwatch
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.operator_forms import FORMS

NETWORKS = [operators(mobilenet_v2_spec(alpha, size)) for alpha, size in ((0.35, 32), (0.5, 48), (0.35, 64), (1.0, 32))]


@pytest.mark.parametrize(
    ("operator", "count"),
    [
        (Operator("conv", 32, 3, 16, 3, 2), 3),  # the stem, several results as one
        (Operator("conv", 9, 24, 40), 3),
        (Operator("depthwise", 9, 24, 24, 5, 2), 3),
        (Operator("dense", 1, 24, 10), 3),
        (Operator("pool", 9, 24, 24), 3),
        (Operator("scale", 9, 24, 24), 3),
        (Operator("add", 9, 24, 24), 3),
        (Operator("hard_silu", 9, 24, 24), 6),
        (Operator("silu", 9, 24, 24), 6),
    ],
    ids=lambda value: value.kind if isinstance(value, Operator) else "",
)
def test_an_operator_is_timed_as_xnnpack_runs_it(operator, count, tmp_path):
    (tmp_path / "m.tflite").write_bytes(operator_model(operator, 3, FORMS["xnnpack"]))
    model = open_model(tmp_path / "m.tflite")
    assert model.delegation() == (count, count, 1)
    outputs = [found["shape"].tolist() for found in model.interpreter.get_output_details()]
    assert np.prod(outputs, axis=1).tolist() == [operator.activations] * 3


def test_operators_are_measured_once(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    first = OperatorLatencies(path).ms(NETWORKS[0])
    monkeypatch.setattr(operator_latency, "thread_times", None)
    again = OperatorLatencies(path)
    assert again.ms(NETWORKS[0]) == first
    assert 0 < again.operator_ms(NETWORKS[0][0]) < first


def test_operators_of_a_busy_minute_are_related_to_the_probe(tmp_path, monkeypatch):
    slowness = 1.0
    monkeypatch.setattr(
        operator_latency,
        "thread_times",
        lambda contents, *, seconds=0.3: [1e-9 * slowness * len(content) for content in contents],
    )
    quiet = OperatorLatencies(tmp_path / "table.json")
    busy = OperatorLatencies(quiet.write())
    expected = quiet.ms(NETWORKS[0])
    slowness = 1.7
    assert busy.ms(NETWORKS[0]) == pytest.approx(expected, rel=1e-4)


def test_the_fit_finds_what_operators_take_more_in_a_network(tmp_path):
    table = OperatorLatencies(tmp_path / "table.json")
    alone = [table.ms(parts) - table.run_ms for parts in NETWORKS]
    took = [1.3 * ms + 0.002 * len(parts) + table.run_ms for ms, parts in zip(alone, NETWORKS, strict=True)]
    assert table.fit(NETWORKS, took) == pytest.approx(0, abs=1e-4)
    assert OperatorLatencies(tmp_path / "table.json").ms(NETWORKS[1]) == pytest.approx(took[1], rel=1e-3)


def test_a_table_of_another_machine_is_refused(tmp_path):
    path = OperatorLatencies(tmp_path / "table.json").write()
    content = files.read_json(path)
    files.write_json(path, content | {"machine": {"processor": "another"}})
    with pytest.raises(km.UserError, match="was measured on"):
        OperatorLatencies(path)
    files.write_json(path, [])
    with pytest.raises(km.UserError, match="is no table of operators"):
        OperatorLatencies(path)


def test_a_busy_machine_does_not_decide_what_networks_take_beside_a_reference(monkeypatch):
    generator, quiet = np.random.default_rng(0), np.array([2.0, 4.0, 1.0])

    def thread_times(contents, *, seconds):
        busy = generator.random() < 0.6  # most of the time, and one file slows down more than another
        return list(quiet * ([1.6, 1.4, 1.5] if busy else 1 + 0.01 * generator.random(3)))

    monkeypatch.setattr(stopwatch, "thread_times", thread_times)
    monkeypatch.setattr(stopwatch, "_PAUSE", 0)
    reference, multiples = stopwatch.times_beside(b"", [b"", b""])
    assert reference == pytest.approx(2, rel=0.01)
    np.testing.assert_allclose([median for median, _, _ in multiples], [2, 0.5], rtol=0.01)
    for median, least, most in multiples:
        assert 0.98 * median < least < median < most < 1.02 * median


def test_a_reference_keeps_the_least_that_it_took(tmp_path):
    table = OperatorLatencies(tmp_path / "table.json")
    assert [table.refer(ms) for ms in (1.3, 1.0, 1.2)] == [1.3, 1.0, 1.0]
    assert OperatorLatencies(tmp_path / "table.json").reference_ms == 1.0


def test_a_network_takes_beside_itself_what_it_takes(tmp_path):
    small, large = (operator_model(Operator("conv", side, 32, 32), 4, FORMS["xnnpack"]) for side in (8, 24))
    seconds, ((same, _, _), (more, _, _)) = stopwatch.times_beside(small, [small, large], known=1.0)
    assert 0 < seconds < 1
    assert same == pytest.approx(1, rel=0.1)
    assert more > 3
