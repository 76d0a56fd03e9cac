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
from keras_mobilenets.pipeline.deployment.publication import model_card
from keras_mobilenets.weights.checkpoints import hub

constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """The calls of create_repo, model_info, create_commit and hf_hub_download; where `refused` is in one, `refusal`."""

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
        if self.server.refusal and self.server.refused in self.path:
            self.answer({"error": "no"}, self.server.refusal)
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
        if self.server.refusal:
            self.answer({"error": "no"}, self.server.refusal)
        elif "/api/models/" in self.path:
            self.answer({"id": "me/net", "private": self.server.is_private})
        elif content is None:
            self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        else:
            git = b"blob %d\0" % len(content) + content
            sent = content[:-1] + b"?" if self.server.damages else content
            self.answer(sent, ETag=f'"{hashlib.sha1(git).hexdigest()}"')

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def server(monkeypatch, tmp_path):
    running = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    running.files, running.refusal, running.refused, running.is_private, running.damages = {}, 0, "", False, False
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


@pytest.mark.parametrize(
    ("status", "refused", "says"),
    [
        (401, "", "log in with `hf auth login`"),
        (403, "", "by a token that may do this"),
        (409, "/commit/", "somebody else changed it meanwhile: try again"),
        (429, "", "it was asked too often: try again later"),
        (500, "/commit/", "see to the connection, and try again later"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(status, refused, says, run, server, capsys):
    server.refusal, server.refused = status, refused

    assert main(["push", str(run.folder), "me/net"]) == 2

    said = one_line(capsys)
    assert "the hub does not take me/net" in said and said.endswith(says) and "hf_stand_in" not in said
    assert not server.files


def test_a_file_that_is_not_there_or_damaged_is_refused(run, server):
    with pytest.raises(km.UserError, match=r"cannot fetch model\.keras of me/net: .*404"):
        km.from_pretrained("me/net")
    run.push("me/net")
    server.damages = True
    with pytest.raises(km.UserError, match=r"model\.keras of me/net is damaged, it is not what the hub has: delete /"):
        km.from_pretrained("me/net")


def test_a_private_run_is_not_pushed_into_a_public_repository(run, server):
    with pytest.raises(km.UserError, match="me/net is public: make it private on the hub"):
        run.push("me/net", private=True)
    assert not server.files
    server.is_private = True
    run.push("me/net", private=True)
    assert "model.keras" in server.files


def test_no_message_holds_the_token(run, server):
    run.push("me/net", token="hf_of_mine\n")  # as a file gives it
    with pytest.raises(km.UserError) as refused:
        run.push("me/net", token="hf_of mine")
    assert "hf_of" not in str(refused.value)
    assert hub.refusal(ValueError("Illegal header value b'Bearer hf_of_mine'")).endswith("value b'Bearer (token)'")


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        ({"input_shape": [16000], "sample_rate": 16000, "features": None}, {}, "audio-classification|16000 samples"),
        ({"input_shape": [32], "input": "items"}, {"task": "next_item"}, "the last 32 items, int32"),
        ({"input_shape": [8, 32, 48, 3]}, {}, "video-classification|8 frames of 32×48 pixels"),
        ({"input_shape": [64, 64, 3]}, {"task": "detection", "image_size": 64}, "object-detection|64×64 pixels"),
    ],
    ids=["speech", "items", "clips", "boxes"],
)
def test_the_card_says_what_the_model_takes(model, data, said, run):
    run.record("model", model)
    run.record("data", data)

    card = model_card(run, "me/net")

    assert all(words in card for words in said.split("|"))
    assert ("pipeline_tag" in card) == ("|" in said)
