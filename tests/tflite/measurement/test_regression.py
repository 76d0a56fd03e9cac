"""Comparison with an earlier results.json: who is slower, who is missing, and what else has changed."""

import pytest

from keras_mobilenets.tflite.measurement.regression import compare, ratio
from keras_mobilenets.tflite.results.results import Results, Row

HERE = {"device": "x86_64 host", "soc": "a", "runtime_version": "2.3.0", "model_sha256": {"m_int8.tflite": "1" * 64}}


def results(*rows, **environment):
    return Results(list(rows), HERE | environment)


def row(median, model="m_int8", **values):
    return Row(model, "int8", "xnnpack", 1, median_ms=median, **values)


@pytest.mark.parametrize(("now", "ok"), [(1.04, True), (1.06, False), (0.5, True)])
def test_a_row_may_be_slower_by_no_more_than_the_limit(now, ok):
    found = compare(results(row(1.0)), results(row(now)), fail_over=0.05)
    assert found.ok is ok
    assert ratio(*found.pairs[0]) == pytest.approx(now)


def test_one_slower_row_among_faster_ones_is_enough():
    before, now = results(row(1.0), row(2.0, "n")), results(row(0.5), row(2.5, "n"))
    found = compare(before, now)
    assert [pair[1].model for pair in found.slower] == ["n"] and not found.ok


@pytest.mark.parametrize("other", [{"threads": 2}, {"backend": "cpu"}, {"quantization": "none"}, {"model": "n"}])
def test_rows_of_other_models_backends_and_threads_are_named_not_compared(other):
    found = compare(results(row(1.0)), results(row(9.0).with_(**other)))
    assert found.pairs == () and not found.ok  # nothing compared is nothing proved
    assert len(found.missing) == len(found.added) == 1
    assert "m_int8 on xnnpack with 1 thread" in found.missing[0]


def test_rows_that_failed_count_as_missing():
    failed = Row("m_int8", "int8", "xnnpack", 1, status="failed", error="no such delegate")
    assert len(compare(results(row(1.0)), results(failed)).missing) == 1


def test_other_machines_runtimes_and_files_are_warned_of():
    now = results(row(1.0), soc="b", model_sha256={"m_int8.tflite": "2" * 64})
    warnings = compare(results(row(1.0)), now).warnings
    assert warnings == ("soc was a, is b", "another file than then: m_int8")
    assert compare(results(row(1.0)), results(row(1.0))).warnings == ()


def test_a_machine_that_became_slower_itself_is_warned_of():
    before = row(1.0, gmacs_per_s=50.0, limit_share=0.5)
    (warning,) = compare(results(before), results(row(1.3, gmacs_per_s=38.0, limit_share=0.5))).warnings
    assert "int8 convolution" in warning and "0.76 times" in warning
    assert compare(results(before), results(row(1.0, gmacs_per_s=51.0, limit_share=0.5))).warnings == ()


def test_the_table_shows_both_medians_and_marks_the_slower_one():
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as text:
        console.print(compare(results(row(1.0)), results(row(1.2))).table())
    assert "1.00" in text.get() and "1.20" in text.get() and "1.200" in text.get() and "slower than 5%" in text.get()
