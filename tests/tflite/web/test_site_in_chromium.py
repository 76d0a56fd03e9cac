"""The page in a real browser: answers right and wrong, a damaged bundle, keyboard, narrow screen, results.json."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from chromium import chromium, press, resize

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import sha256
from keras_mobilenets.tflite.results.results import environment
from keras_mobilenets.tflite.web.server import server

VECTORS = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())
ALONE = "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"  # nothing else can be fetched from
WEBGPU = ("enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader", "enable-features=Vulkan")
CAMERA = ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
SHADERS = b"""
import { loadAndCompile as compile } from "./real.js";
export * from "./real.js";
const device = new EventTarget();
export const getWebGpuDevice = () => device;
export async function loadAndCompile(content, options) {
  const opened = await compile(content, { ...options, accelerator: "wasm" });
  const error = { message: "cannot assign 'vec4<f32>' to 'vec4<i32>'" };
  if (options.accelerator === "webgpu") device.dispatchEvent(Object.assign(new Event("uncapturederror"), { error }));
  return opened;
}
"""  # LiteRT.js where WebGPU refuses a shader, which it tells to the device and to nobody else


@pytest.fixture(scope="module")
def folder(tflite_files, pixels, tmp_path_factory):
    """The site of a float32 and an int8 model."""
    place = tmp_path_factory.mktemp("web")
    labels = tflite.evaluate(tflite_files["float32"], pixels).predictions.argmax(axis=1)
    labels = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 7, labels)  # so that top-1 is neither 0 nor 1
    sources = [tflite_files[name] for name in ("float32", "int8")]
    bundle = tflite.bundle(sources, place / "bundle", images=pixels, labels=labels, title="tiny")
    try:
        return tflite.write_site(bundle, place / "site")
    except UserError as error:
        if "npm" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def address(folder):
    with server(folder.parent, 0, is_secure=False) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://localhost:{made.server_address[1]}/"
        made.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), "disable-gpu", ALONE, *CAMERA) as driver:
        yield driver


@pytest.fixture
def altered(folder):
    """Makes a copy of the site with another content of a file, which the manifest names or not; its path."""
    made = []

    def alter(path, content, is_named):
        copy = folder.with_name(f"altered{len(made)}")
        shutil.copytree(folder, copy)
        made.append(copy)
        (copy / "bundle" / path).write_bytes(content)
        if is_named:
            manifest = json.loads((copy / "bundle/manifest.json").read_text())
            manifest["files"][path] = sha256(copy / "bundle" / path)
            (copy / "bundle/manifest.json").write_text(json.dumps(manifest))
        return copy.name

    yield alter
    for copy in made:
        shutil.rmtree(copy)


def wait(browser, words, seconds=120):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, seconds, 0.1).until(lambda b: words in b.find_element("id", "state").text)


def measured(browser, url):
    """Runs everything by the keyboard; the table's cells, and the results.json that the page would save."""
    browser.get(f"{url}?runs=20")
    wait(browser, "backends")
    press(browser, "\ue004", "\ue007")  # Tab, Enter
    wait(browser, "rows measured")
    text = browser.execute_async_script(
        """
        const done = arguments[0], make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { blob.text().then(done); return make.call(URL, blob); };
        document.getElementById("save").click();
        """
    )
    rows = browser.find_elements("css selector", "#rows tr")
    return [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in rows], text


def check(results, backends):
    """Right rows of both models on these backends."""
    rows = results.rows
    assert {(row.model, row.backend, row.threads) for row in rows} == {
        (model, *backend) for model in ("float32", "int8") for backend in backends
    }
    for row in rows:
        assert row.status == "ok" and row.error is None and row.num_runs >= 20, row
        assert row.max_abs_err < 1e-4, row
        assert 0 < row.top1 < 1 and row.median_ms > 0


def test_it_measures_and_the_report_shows_it_beside_the_host(browser, address, folder, tflite_files):
    cells, text = measured(browser, f"{address}site/")
    assert all(row[-1] == "✓ right" and row[6].startswith("4 of 4") for row in cells), cells
    assert "WebGPU" in browser.find_element("id", "notes").text  # which this browser lacks: one line

    path = folder.parent / "browser" / "results.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    results = tflite.read_results(path)
    threads = {row.threads for row in results.rows}
    check(results, [("xnnpack", number) for number in threads])
    manifest = {model.name: model for model in tflite.read_bundle(folder / "bundle").models}
    assert all(row.top1 == manifest[row.model].host_top1 for row in results.rows)
    host = folder.parent / "host"
    host.mkdir(exist_ok=True)
    files = [tflite_files[name] for name in ("float32", "int8")]
    own = [tflite.Row(path.stem, backend="xnnpack", threads=1, median_ms=0.1) for path in files]
    tflite.write_results(host / "results.json", own, environment(files))
    page = tflite.report([host / "results.json", path], folder.parent / "report.html").read_text()
    assert "LiteRT.js" in page and "computer, Chrome" in page and "LiteRT" in page.replace("LiteRT.js", "")

    resize(browser, 360)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_a_wrong_answer_and_a_damaged_file_are_told_in_the_row(browser, address, folder, altered):
    outputs = folder / "bundle/probes/float32.bin"
    reversed_ = np.fromfile(outputs, np.float32).reshape(4, -1)[:, ::-1].tobytes()
    cells, text = measured(browser, f"{address}{altered('probes/float32.bin', reversed_, True)}/")
    assert cells[0][-1].startswith("✗ ") and "another class than on the host" in cells[0][-1]
    assert cells[-1][-1] == "✓ right"
    assert "another class" in json.loads(text)["rows"][0]["error"]
    cells, text = measured(browser, f"{address}{altered('images/32x32.bin', bytes(60 * 32 * 32 * 3), False)}/")
    assert "images/32x32.bin is damaged: its SHA-256 differs" in cells[0][-1]
    assert json.loads(text)["rows"][0]["status"] == "failed"
    browser.get(f"{address}{altered('manifest.json', b'{', False)}/")
    wait(browser, "bundle/manifest.json is damaged; make the site anew")


def test_statistics_and_correctness_are_those_of_python(browser, address):
    browser.get(f"{address}site/")
    wait(browser, "backends")
    answers = browser.execute_async_script(
        """
        const [vectors, done] = arguments;
        const failing = (make) => { try { return make(); } catch { return { max_abs_err: null, wrong: null }; } };
        Promise.all([import("./statistics.js"), import("./correctness.js")]).then(([s, c]) => {
          const list = (values) => Array.from(values);
          const numbers = (all) => all.map((one) => Float32Array.from(one, (value) => value ?? NaN));
          const ms = (v) => v.nanoseconds.map((ns) => ns / 1e6);
          done({
            statistics: vectors.statistics.map((v) => ({ figures: s.statistics(ms(v)), drift: s.drift(ms(v)) })),
            inputs: vectors.inputs.map((v) => v.values.map((_, i) => v.pixels.map((p) => c.inputTable(v.spec, i)[p]))),
            scores: vectors.scores.map((v) => list(c.dequantized(v.stored, v.spec))),
            best: vectors.best.map((v) => c.best(Float32Array.from(v.scores), v.scores.length)),
            probes: vectors.probes.map((v) => failing(() => c.compared(numbers(v.answers), numbers(v.host)))),
            top1: vectors.top1.map((v) => c.top1(numbers(v.answers), v.labels)),
          });
        }).catch((error) => done({ error: String(error) }));
        """,
        VECTORS,
    )
    assert "error" not in answers, answers
    pick = lambda vectors, names: [{name: vector[name] for name in names} for vector in vectors]  # noqa: E731
    assert answers["statistics"] == pick(VECTORS["statistics"], ("figures", "drift"))
    for got, vector in zip(answers["inputs"], VECTORS["inputs"], strict=True):
        np.testing.assert_allclose(got, vector["values"], rtol=1e-6)
    assert answers["scores"] == [vector["values"] for vector in VECTORS["scores"]]
    assert answers["best"] == [vector["order"] for vector in VECTORS["best"]]
    assert answers["probes"] == pick(VECTORS["probes"], ("max_abs_err", "wrong"))
    assert answers["top1"] == [vector["top1"] for vector in VECTORS["top1"]]


def test_shaders_that_webgpu_refuses_fail_the_row(browser, address, folder, altered):
    real = (folder / "litert/core.js").read_bytes()
    copy = altered("../litert/core.js", SHADERS, False)
    (folder.parent / copy / "litert/real.js").write_bytes(real)
    gpu = "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({}) } })"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": gpu})
    try:
        cells, text = measured(browser, f"{address}{copy}/")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    refused = "WebGPU refuses what LiteRT.js makes of the model: cannot assign 'vec4<f32>' to 'vec4<i32>'"
    for row, line in zip(json.loads(text)["rows"], cells, strict=True):
        if row["backend"] == "webgpu":
            assert (row["status"], row["error"], row["median_ms"]) == ("failed", refused, None)
            assert line[-1] == f"✗ failed: {refused}"
        else:
            assert row["status"] == "ok"


def test_the_camera_and_a_picture_are_classified(browser, address, tflite_files, pixels, tmp_path):
    from PIL import Image
    from selenium.webdriver.support.ui import Select, WebDriverWait

    answers = [tflite.evaluate(tflite_files[name], pixels).predictions for name in ("float32", "int8")]
    number = int(np.argmax(np.ptp(answers[0], axis=1)))  # whose best class is certain
    Image.fromarray(pixels[number]).save(tmp_path / "picture.png")
    (tmp_path / "text.png").write_text("no picture")
    browser.get(f"{address}site/")
    wait(browser, "backends")

    def state(words):
        WebDriverWait(browser, 60, 0.1).until(lambda b: words in b.find_element("id", "camera-state").text)
        return browser.find_element("id", "camera-answers").text.splitlines()

    chooser = browser.find_element("id", "camera-picture")
    chooser.send_keys(str(tmp_path / "picture.png"))
    assert state("ms for an image, float32")[0] == answer(answers[0][number])
    Select(browser.find_element("id", "camera-model")).select_by_visible_text("int8")
    assert state("ms for an image, int8")[0] == answer(answers[1][number])
    chooser.send_keys(str(tmp_path / "text.png"))
    state("text.png is no picture that this browser can read.")

    browser.find_element("id", "camera-start").click()
    assert len(state("ms for an image, int8")) == 3
    assert browser.execute_script("return document.getElementById('camera-canvas').width") == 32
    browser.find_element("id", "camera-start").click()
    assert browser.find_element("id", "camera-start").text == "Start the camera"
    browser.execute_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new Error('Permission denied'); }"
    )
    browser.find_element("id", "camera-start").click()
    state("The camera cannot be opened (Permission denied); a picture still can be classified.")
    resize(browser, 360)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def answer(scores):
    """As the page writes it."""
    return f"class {scores.argmax()} {scores.max():.2f}"


@pytest.mark.slow  # WebGPU on a driver in software
def test_webgpu_answers_as_the_host(address, folder, tmp_path):
    with chromium(tmp_path / "profile", ALONE, *WEBGPU) as driver:
        _, text = measured(driver, f"{address}site/")
    path = tmp_path / "results.json"
    path.write_text(text)
    results = tflite.read_results(path)
    threads = {row.threads for row in results.rows if row.backend == "xnnpack"}
    check(results, [("webgpu", 1), *(("xnnpack", number) for number in threads)])
    assert all(row.nodes_delegated == row.nodes_total for row in results.rows if row.backend == "webgpu")
