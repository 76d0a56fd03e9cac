"""What the report shows that the run did not measure: what others published, what the targets' tools estimate."""

import json
import re

import pytest
from report_samples import words

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.reports.publications import publications
from keras_mobilenets.tflite.reports.sources import GraphFile, Source
from keras_mobilenets.tflite.results.results import Row, environment

NETWORK = ("MobileNetV1", {"alpha": 0.25})
MEASURED = [
    Row("m_float32", "none", "xnnpack", 1, model_size_mb=1.9, top1=0.9, median_ms=2.0, p90_ms=2.2),
    Row("m_int8", "int8", "xnnpack", 1, model_size_mb=0.6, top1=0.89, median_ms=1.0, p90_ms=1.1),
]
ESTIMATES = [
    Row(
        "m_int8",
        "int8",
        "ethos-u55-128",
        nodes_total=31,
        nodes_delegated=31,
        partitions=1,
        estimated=True,
        estimate_ms=0.125,
        memory={"SRAM": 100_352},
        system="<Ethos_U55_High_End_Embedded>, Vela 5.1.0",
    ),
    Row("m_float32", "none", "ethos-u55-128", status="failed", error="no operator is delegated", estimated=True),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """MobileNetV1 0.25 for 7 classes at 128 pixels, as a run has it."""
    folder = tmp_path_factory.mktemp("published") / "v1"
    folder.mkdir()
    model = km.MobileNetV1((128, 128, 3), NETWORK[1]["alpha"], classes=7)
    tflite.convert(model, folder / "m_float32.tflite")
    (folder / "run.json").write_text(json.dumps({"train": {"builder": NETWORK[0], "arguments": NETWORK[1]}}))
    return folder


def section(page, name):
    start = page.index(f'<h2 id="{name}"')
    return words(page[start : page.index("</section>", start)])


def test_published_latencies_have_a_section_with_source_and_stand_nowhere_else(run):
    tflite.write_results(run / "results.json", MEASURED, environment())
    page = tflite.report(run).read_text(encoding="utf-8")
    text = section(page, "published")
    assert "MobileNetV1(alpha=0.25) 128 With the classes of ImageNet; this run has 7" in text
    hosted = "tensorflow/tensorflow lite/g3doc/guide/hosted_models.md"
    assert f"Pixel 3 (Android 10) TFLite CPU 4 threads uint8 (QAT) 0.8 {hosted}" in text
    assert f"Pixel 3 (Android 10) TFLite GPU float32 1.6 {hosted}" in text
    assert text.count(hosted) == 5 == page.count(hosted)
    assert page.count("Pixel 3") == 5 and "Estimates" not in page


def test_estimates_have_a_section_and_change_nothing_of_what_was_measured(run):
    def rest(page):
        parts = re.split(r'<section aria-labelledby="estimates">.*?</section>\n', page, flags=re.DOTALL)
        return "".join(parts).replace('<li><a href="#estimates">Estimates</a></li>\n', "")

    where = environment()
    tflite.write_results(run / "results.json", MEASURED, where)
    without = tflite.report(run).read_text(encoding="utf-8")
    tflite.write_results(run / "results.json", [*ESTIMATES, *MEASURED], where)
    page = tflite.report(run).read_text(encoding="utf-8")
    assert rest(page) == without != page
    text = section(page, "estimates")
    assert "m int8 ethos-u55-128 0.125 SRAM 100.4 kB 31 of 31 in 1 partition <Ethos_U55" in text
    assert "m float32 ethos-u55-128 ✗ failed no operator is delegated" in text
    assert "0.125" not in rest(page)


def graph(name="m_int8.tflite", side=224, classes=1000):
    return GraphFile(name, input_shape=(1, side, side, 3), output_shape=(1, classes))


def test_only_the_same_network_at_the_same_size_is_published():
    def found(network, *files):
        return [
            (each.network, len(each.latencies)) for each in publications(Source("run", network=network, files=files))
        ]

    v3 = "MobileNetV3Small"
    assert found((v3, {"alpha": 1.0, "dropout_rate": 0.1}), graph()) == [("MobileNetV3Small(alpha=1.0) 224", 24)]
    assert found((v3, {"minimalistic": True}), graph()) == [("MobileNetV3Small(minimalistic=True) 224", 3)]
    assert found((v3, {"alpha": 0.5}), graph()) == found((v3, {}), graph(side=192)) == []
    assert found((v3, {}), GraphFile("m.tflite", input_shape=(1, 224, 192, 3), output_shape=(1, 1000))) == []
    assert found((v3, {}), graph("m_channels_int8.tflite")) == found((v3, {}), GraphFile("m.tflite", "no")) == []
    assert found(("<b>", {"alpha": [1]}), graph()) == found(None, graph()) == []


def test_other_classes_and_files_of_another_network_are_named():
    files = [graph(), graph("m_channels_int8.tflite")]
    (same,) = publications(Source("run", network=("MobileNetV2", {}), files=files))
    assert (same.classes, same.pruned) == (None, ("m_channels_int8.tflite",))
    (other,) = publications(Source("run", network=("MobileNetV2", {}), files=[graph(classes=10)]))
    assert (other.classes, other.pruned) == (10, ())
