// One model on one backend, as the app's Measurement.kt does it: open cold, check the answers, warm up, time.

import { loadAndCompile, loadLiteRt, getWebGpuDevice, Tensor } from "./litert/core.js";
import { compared, dequantized, inputOfPixels, stored, top1 } from "./correctness.js";
import { drift, rounded, statistics } from "./statistics.js";

/** Opens a model cold; `isSound` throws where WebGPU has refused a shader. */
async function open({ model, backend, files }, progress) {
  progress("loading LiteRT.js");
  const wasm = new URL("litert/wasm/", self.location.href).href;
  self.Module = { // a worker's script tells Emscripten nothing of where its files lie
    locateFile: (name) => wasm + name,
    mainScriptUrlOrBlob: `${wasm}litert_wasm_threaded_internal.js`,
  };
  await loadLiteRt(wasm, { threads: backend.threads > 1 });
  progress("opening the model");
  const refusals = []; // shaders that do not compile leave wrong answers, and are told to the device alone
  const isSound = () => {
    if (refusals.length) throw new Error(`WebGPU refuses what LiteRT.js makes of the model: ${refusals[0]}`);
  };
  getWebGpuDevice()?.addEventListener("uncapturederror", ({ error }) => refusals.push(error.message));
  const start = performance.now();
  const accelerator = backend.id === "webgpu" ? "webgpu" : "wasm";
  const opened = await loadAndCompile(files.content, { accelerator, cpuOptions: { numThreads: backend.threads } });
  const init = performance.now() - start;
  const feed = new Feed(opened, model);
  const first = await feed.first();
  isSound();
  return { opened, feed, isSound, init, first };
}

/** What says of an image's pixels, RGB of the model's size, its scores and the milliseconds of the model. */
export async function classifier(job, progress) {
  const { feed, isSound } = await open(job, progress);
  return async (pixels) => {
    const start = performance.now();
    const scores = await feed.scores(inputOfPixels(pixels, job.model.input));
    isSound();
    return { scores, ms: performance.now() - start };
  };
}

/**
 * Measures.
 * @param job model (of the manifest), backend, timing, and the bytes of `load`.
 * @param progress is told what goes on.
 * @returns {{figures: object, answers: Float32Array[]}} what was measured by the names of results.json, and the scores of all images.
 */
export async function measure(job, progress) {
  const { model, backend, timing, files } = job;
  const { opened, feed, isSound, init, first } = await open(job, progress);

  progress("checking the answers");
  const probes = parts(stored(files.inputs, model.input), model.probes.count);
  const host = parts(new Float32Array(files.outputs.slice().buffer), model.probes.count);
  const answered = [];
  for (const probe of probes) answered.push(await feed.scores(probe));
  const { max_abs_err, wrong } = compared(answered, host);
  isSound();
  const { labels, count } = model.images;
  const images = parts(files.pixels, count);
  const answers = [];
  for (const [i, pixels] of images.entries()) {
    if (i % 20 === 0) progress(`labelled images: ${i} of ${count}`);
    answers.push(await feed.scores(inputOfPixels(pixels, model.input)));
  }

  progress("timing");
  const times = await timed(feed, inputOfPixels(images[0], model.input), timing);
  isSound();
  const sums = statistics(times.runs);
  const figures = {
    ...credit(opened, backend, model),
    init_ms: rounded(init, 4),
    first_inference_ms: rounded(first, 4),
    max_abs_err,
    top1: top1(answers, labels),
    ...sums,
    num_runs: times.runs.length,
    num_warmup_runs: times.warmups,
    drift: drift(times.runs),
    gmacs_per_s: model.macs && sums.median_ms ? rounded(model.macs / sums.median_ms / 1e6, 4) : null,
    error: wrong ? `${wrong} of ${probes.length} probes: another class than on the host` : null,
  };
  return { figures, answers, right: probes.length - wrong, probes: probes.length };
}

/** Who did the work. WebGPU that cannot be shown to have done it gets no row. */
function credit(opened, backend, model) {
  if (backend.id !== "webgpu") return {};
  if (opened.options.accelerator !== "webgpu") return { nodes_delegated: 0, partitions: 0 }; // LiteRT.js went back to WASM
  if (!opened.isFullyAccelerated) throw new Error("WebGPU took a part of the operators, and LiteRT.js does not say which");
  return { nodes_delegated: model.nodes, partitions: 1 };
}

async function timed(feed, input, timing) {
  await feed.put(input);
  let warmups = 0;
  const warm = performance.now() + timing.warmupMs;
  while (warmups < timing.warmupRuns || performance.now() < warm) {
    await feed.again();
    warmups++;
  }
  const runs = [];
  let spent = 0;
  const until = performance.now() + timing.maxMs; // a coarse clock may give runs of 0
  while (spent < timing.maxMs && performance.now() < until && (runs.length < timing.minRuns || spent < timing.minMs)) {
    runs.push(await feed.again());
    spent += runs.at(-1);
  }
  await feed.done();
  return { runs, warmups };
}

/** An open model with an input of its own. */
class Feed {
  constructor(opened, model) {
    this.opened = opened;
    this.spec = model.input;
    this.output = model.output;
    [this.inner] = opened.getInputDetails();
    const [outer] = opened.getOutputDetails();
    const same = (shape, other) => String(Array.from(shape)) === String(other);
    if (!same(this.inner.shape, model.input.shape) || !same(outer.shape, model.output.shape)) {
      throw new Error("the model's tensors are not those of the manifest");
    }
    this.isFloat = outer.dtype === "float32";
    this.device = opened.options.accelerator === "webgpu" ? getWebGpuDevice() : null;
  }

  /** Milliseconds of the first run, of zeros. */
  async first() {
    const size = this.spec.shape.reduce((product, each) => product * each, 1);
    await this.put(this.inner.dtype === "float32" ? new Float32Array(size) : new Uint8Array(size), true);
    return this.again();
  }

  /** Puts an input in the manifest's dtype before the model; where the file has float ends, as the floats it stands for. */
  async put(values, isInner = false) {
    await this.done();
    const floats = this.inner.dtype === "float32" && this.spec.dtype !== "float32" && !isInner;
    const host = new Tensor(floats ? dequantized(values, this.spec) : values, this.spec.shape);
    this.tensor = this.device ? await host.moveTo("webgpu") : host;
  }

  /** Runs what was put; milliseconds, without reading the output. */
  async again() {
    const start = performance.now();
    const results = await this.opened.run(this.tensor);
    if (this.device) await this.device.queue.onSubmittedWorkDone();
    const spent = performance.now() - start;
    for (const result of results) result.delete();
    return spent;
  }

  /** Scores of an input. */
  async scores(values) {
    await this.put(values);
    const results = await this.opened.run(this.tensor);
    const scores = await results[0].data();
    for (const result of results) result.delete();
    return this.isFloat ? Float32Array.from(scores) : dequantized(scores, this.output);
  }

  async done() {
    this.tensor?.delete();
    this.tensor = null;
  }
}

function parts(values, count) {
  const size = values.length / count;
  return Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size));
}
