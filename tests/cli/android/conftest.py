import hashlib
import json
import os
import sys
from dataclasses import MISSING, fields

import pytest
from phone_samples import DIGEST, REPOSITORY

from keras_mobilenets.cli.android import measurement
from keras_mobilenets.tflite import write_results
from keras_mobilenets.tflite.bundles.manifest import Bundle, BundledModel, ImageSet, Probes, TensorSpec, write_manifest
from keras_mobilenets.tflite.results.results import Row, environment


@pytest.fixture
def bundle(tmp_path):
    """A small bundle, whose model is none."""
    folder = tmp_path / "bundle"
    contents = {
        "m/net.tflite": b"TFL3",
        "labels.txt": b"a\nb\n",
        "i.bin": bytes(3),
        "in.bin": bytes(3),
        "o.bin": bytes(8),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    known = dict.fromkeys(field.name for field in fields(BundledModel) if field.default is MISSING)
    known |= {"name": "net_int8", "path": "m/net.tflite", "size_bytes": 4, "arguments": {}, "labels": "labels.txt"}
    known |= {"input": TensorSpec((1, 1, 1, 3), "int8", 1.0, 0), "output": TensorSpec((1, 2), "int8", 1.0, 0)}
    known |= {"images": "i.bin", "probes": Probes(1, "in.bin", "o.bin")}
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_manifest(Bundle(folder, "test", (BundledModel(**known),), (ImageSet("i.bin", 1, 1, 1, ()),), files))
    return folder


@pytest.fixture
def results(tmp_path):
    """What the app has written."""

    def write(name="phone.json", digest=DIGEST, rows=2, more=()):
        made = [
            *more,
            Row("net_int8", "int8", "xnnpack", 1, model_size_mb=1.0, median_ms=5.0, p90_ms=5.5, num_runs=50),
            Row(
                "net_int8", "int8", "nnapi", model_size_mb=1.0, median_ms=3.2, p90_ms=3.4, accelerator="google-edgetpu"
            ),
        ]
        where = environment() | {"device": "Google Pixel 8", "soc": "Tensor G3", "os": "Android 15"}
        return str(
            write_results(
                tmp_path / name, made[: rows + len(more)], where | {"model_sha256": {"net_int8.tflite": digest}}
            )
        )

    return write


@pytest.fixture
def phones(tmp_path, monkeypatch):
    """Puts a stand-in for adb on PATH that plays these phones; gives what it was asked."""
    folder = tmp_path / "platform-tools"
    folder.mkdir()
    source = REPOSITORY / "tests" / "stand_in_adb.py"
    (folder / "adb").write_text(f"#!{sys.executable} -SE\n{source.read_text()}")
    (folder / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measurement, "RECONNECT", 1.5)

    def play(phones, **more):
        (folder / "scenario.json").write_text(json.dumps({"phones": phones} | more))

        def log():
            return [json.loads(line) for line in (folder / "log.json").read_text().splitlines()]

        return log

    return play
