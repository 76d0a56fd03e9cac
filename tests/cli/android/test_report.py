"""`android report`."""

import re

from command_line import last_line
from phone_samples import DIGEST

from keras_mobilenets.cli import main
from keras_mobilenets.tflite import write_results
from keras_mobilenets.tflite.results.results import Row, environment


def test_report_joins_phones_and_runs(results, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    row = Row("net_int8", "int8", "xnnpack", 1, model_size_mb=1.0, top1=0.93, median_ms=1.5, p90_ms=1.6)
    where = environment() | {"device": "laptop", "model_sha256": {"net_int8.tflite": DIGEST}}
    write_results(tmp_path / "run" / "results.json", [row], where)
    results("phones/Pixel_8_A/results.json")
    assert main(["android", "report", str(tmp_path / "phones"), str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("net"))
    assert re.findall(r"[\d.%]+", line.replace("int8", ""))[-5:] == ["1.00", "93.0%", "5.00", "3.20", "1.50"]
    assert "Google Pixel 8" in printed and "laptop" in printed
    page = (tmp_path / "phones" / "report.html").read_text()
    assert "Google Pixel 8" in page and "93.0%" in page
    assert main(["android", "report", str(tmp_path / "none")]) == 2
    assert "is not a folder nor a results.json" in last_line(capsys)


def test_a_phone_gets_a_data_sheet(results, tmp_path, capsys):
    minutes, statuses = range(10), ["none"] * 4 + ["light"] * 3 + ["severe"] * 3
    windows = [
        {"end_s": 60.0 * (minute + 1), "inferences": 9000, "median_ms": 6.5 + (minute > 5), "thermal": status}
        for minute, status in zip(minutes, statuses, strict=True)
    ]
    soak = {"minutes": 10, "is_complete": True, "inferences": 90_000, "windows": windows}
    soak |= {"last_over_first": 1.1538, "throttled_s": 360.0, "mah_per_1000": 0.125}
    rows = [
        Row("net_int8", "int8", "xnnpack", 4, median_ms=6.5, p90_ms=7, drift=0.2, thermal_end="light", sustained=soak),
        Row("net_int8", "int8", "nnapi:a", nodes_total=65, nodes_delegated=62, partitions=2, median_ms=1.2, p90_ms=1.3),
        Row("net_int8", "int8", "nnapi:b", nodes_total=65, nodes_delegated=0, partitions=0, median_ms=9, p90_ms=9),
        Row("net_int8", "int8", "gpu", status="failed", error="no <driver>"),
    ]
    results("phones/Pixel_8_A/results.json", more=rows)
    assert main(["android", "report", str(tmp_path / "phones")]) == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "phones/Pixel_8_A/datasheet.html").read_text()
    for text in (
        "Tensor G3", "Android 15", "thermal status severe", "net int8 on nnapi:a: 62 of 65 operators in 2 partitions",
        "net int8 on nnapi:b fell back to the CPU",
        "net int8 on xnnpack, 4 threads: latency drifted by +20% over the run",
        "net int8 on xnnpack, 4 threads: throttled after 6.0 min",
        "10 min: last minute 1.15× the first, throttled after 6.0 min, 0.125 mAh per 1000 inferences",
    ):  # fmt: skip
        assert text in printed and text in page, text
    assert "net int8 on gpu failed: no <driver>" in printed and "no &lt;driver&gt;" in page
    assert "<strong>1.20</strong>" in page and page.count("<strong>") == 1  # which no fallback wins
    assert "Latency of net int8, xnnpack, 4 threads over 10 minutes" in (tmp_path / "phones/report.html").read_text()
