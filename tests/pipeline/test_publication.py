"""A run is pushed to and loaded from a server on loopback that answers as the hub does, for huggingface_hub itself."""

import base64
import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from command_line import one_line
from networks import answers

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.cli import main
from keras_mobilenets.pipeline import Run

constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """The calls of create_repo, create_commit and hf_hub_download; a repository of "stranger" is refused."""

    def log_message(self, *_):
        pass

    def answer(self, body=b"{}", status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        chunked = b"" if size else b"".join(iter(self.chunk, b""))
        content = self.rfile.read(size) or chunked
        address = f"http://{self.headers['Host']}/me/net"
        if "stranger" in self.path or b"stranger" in content[:200]:
            self.answer({"error": "You don't have the rights"}, 403, X_Error_Message="no rights to create a model here")
        elif self.path.endswith("/repos/create"):
            self.answer({"url": address})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(content)["files"]]
            self.answer({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif "/commit/" in self.path:
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"success": True, "commitOid": COMMIT, "commitUrl": f"{address}/commit/{COMMIT}"})
        else:
            self.answer({"warnings": [], "errors": []})

    def chunk(self):
        size = int(self.rfile.readline() or b"0", 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def do_GET(self):
        content = self.server.files.get(self.path.rpartition("/")[2]) if "/resolve/" in self.path else None
        if content is None:
            self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        else:
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def server(monkeypatch, tmp_path):
    running = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    running.files = {}
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    yield running
    running.shutdown()


@pytest.fixture
def run(keras_model, tflite_files, tmp_path):
    """A run folder as train, convert and evaluate leave it."""
    found = Run(tmp_path / "run")
    found.folder.mkdir()
    keras_model.save(found.model_file)
    shutil.copy(tflite_files["int8"], found.folder / "net_int8.tflite")
    data = {"name": "/home/someone/birds", "image_size": 32, "batch_size": 8, "class_names": ["finch", "wren"]}
    found.record("data", data)
    found.record("recipe", {"epochs": 3, "optimizer": "adamw"})
    found.record("data_dir", "/home/someone/tfds")
    drawn = {"data": "/home/someone/birds", "images": 200, "seed": 0}
    found.record("convert", {"net_int8.tflite": {"calibration": drawn, "found": {"images_sha256": "abc123"}}})
    found.write([tflite.Row("net_int8", quantization="int8", top1=0.875)])
    return found


def test_a_pushed_run_is_loaded_from_the_hub(run, server, keras_model, pixels):
    address = run.push("me/net", license="apache-2.0")

    assert address.endswith(COMMIT)
    assert set(server.files) == {"README.md", "model.keras", "net_int8.tflite", "results.json", "run.json"}
    card = server.files["README.md"].decode()
    for said in ('license: "apache-2.0"', "87.50%", "epochs | 3", "32×32", "finch, wren", "abc123", "from_pretrained"):
        assert said in card, said
    assert not [name for name, content in server.files.items() if b"/home/someone" in content]
    images = (pixels[:1] / 127.5 - 1).astype(np.float32)
    np.testing.assert_array_equal(answers(km.from_pretrained("me/net"), images), answers(keras_model, images))


def test_what_the_hub_refuses_is_said_in_a_line(run, server, capsys):
    assert main(["push", str(run.folder), "stranger/net"]) == 2
    assert "the hub refuses stranger/net" in one_line(capsys)
    assert not server.files
    with pytest.raises(km.UserError, match=r"cannot fetch model\.keras of me/other"):
        km.from_pretrained("me/other")
