"""The site's files and its server; what the page does in a browser is in test_site_in_chromium.py."""

import hashlib
import shutil
import ssl
import stat
import threading
import urllib.request

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.io_dtype import with_float_ends
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import dequantized
from keras_mobilenets.tflite.web import runtime
from keras_mobilenets.tflite.web.server import server


def test_float_ends_answer_as_the_int8_file(tflite_files, pixels, tmp_path):
    inner = open_model(tflite_files["int8"])
    path = tmp_path / "float_ends.tflite"
    path.write_bytes(with_float_ends(tflite_files["int8"].read_bytes()))
    outer = open_model(path)
    assert {outer.input["dtype"], outer.output["dtype"]} == {np.float32}
    for image in pixels[:8]:
        stored = (image.astype(np.int16) - 128).astype(np.int8)[None]
        floats = dequantized(stored, *inner.input["quantization"])
        np.testing.assert_array_equal(outer.run(floats), inner.dequantize(inner.run(stored)))
    float32 = tflite_files["float32"].read_bytes()
    assert with_float_ends(float32) is float32


def test_what_npm_brings_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    with pytest.raises(UserError, match=r"^npm brings @litertjs/core@[\d.]+, and is not installed: .*apt-get"):
        runtime.unpack_runtime(tmp_path / "site")
    npm = tmp_path / "npm"
    monkeypatch.setattr(runtime.shutil, "which", lambda _: str(npm))
    for script, message in (
        ("echo 'npm error 404 no such package' >&2; exit 1", "npm cannot bring .*: npm error 404 no such package; try"),
        (f"echo other > {runtime.PACKAGES[0].tarball}", "another @litertjs/core@[0-9.]+ than the pinned one"),
    ):
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
        with pytest.raises(UserError, match=message):
            runtime.unpack_runtime(tmp_path / "site")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_folder_of_something_else_is_not_replaced(tflite_files, tmp_path):
    bundle = tflite.bundle(tflite_files["float32"], tmp_path / "bundle")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UserError, match=r"thesis.txt is not of a site; give --out"):
        tflite.write_site(bundle, tmp_path / "mine")


@pytest.mark.parametrize("is_secure", [False, True])
def test_the_server_sends_what_threads_need(tmp_path, is_secure):
    if is_secure and not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    (tmp_path / "a.wasm").write_bytes(b"\0asm")
    with server(tmp_path, 0, is_secure=is_secure) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        url = f"http{'s' * is_secure}://127.0.0.1:{made.server_address[1]}/a.wasm"
        context = ssl._create_unverified_context() if is_secure else None
        with urllib.request.urlopen(url, context=context) as answer:
            sent = answer.headers
            assert hashlib.sha256(answer.read()).digest() == hashlib.sha256(b"\0asm").digest()
        made.shutdown()
        with pytest.raises(UserError, match=r"cannot serve at port .* give --port"):
            server(tmp_path, made.server_address[1], is_secure=is_secure)
    assert sent["Cross-Origin-Opener-Policy"] == "same-origin"
    assert sent["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert sent["Content-Type"] == "application/wasm"


def test_a_detector_is_refused(detector_files, tmp_path):
    bundle = tflite.bundle(detector_files["int8"], tmp_path / "bundle", probes=1)
    with pytest.raises(UserError, match="the page draws no boxes: leave out boxes_int8; the app draws them"):
        tflite.write_site(bundle, tmp_path / "site")
    assert not (tmp_path / "site").exists()
