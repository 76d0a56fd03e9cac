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
