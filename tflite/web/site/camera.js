// What the camera sees, or a picture: its middle at the model's size, the three best classes, milliseconds.

import { best } from "./correctness.js";
import { load } from "./bundle.js";
import { oneLine } from "./results.js";

const by = (id) => document.getElementById(id);

/** Offers the models of a bundle on the backends that the browser has. */
export function offerCamera(bundle, backends) {
  const [models, places] = [by("camera-model"), by("camera-backend")];
  for (const model of bundle.models) models.add(new Option(model.name));
  for (const { title } of backends) places.add(new Option(title));
  const camera = new Camera(() => ({ model: bundle.models[models.selectedIndex], backend: backends[places.selectedIndex] }), bundle);
  const told = (work) => () => work().catch((error) => camera.say(error.message));
  for (const choice of [models, places]) choice.addEventListener("change", told(() => camera.reopen()));
  by("camera-start").addEventListener("click", told(() => (camera.stream ? camera.stop() : camera.start())));
  by("camera-picture").addEventListener("change", told(() => camera.picture(by("camera-picture").files[0])));
  by("camera").hidden = false;
}

class Camera {
  constructor(chosen, bundle) {
    Object.assign(this, { chosen, bundle, worker: null, stream: null, shown: null });
  }

  say(text) {
    by("camera-state").textContent = text;
  }

  /** Starts the camera; answers follow until `stop`. */
  async start() {
    if (!navigator.mediaDevices) throw new Error(isSecureContext ? "This browser gives pages no camera." : "No camera here: it needs https.");
    this.say("Opening the camera");
    this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).catch((error) => {
      throw new Error(`The camera cannot be opened (${oneLine(error.message)}); a picture still can be classified.`);
    });
    by("camera-start").textContent = "Stop the camera";
    const video = by("camera-video");
    video.srcObject = this.stream;
    await video.play();
    this.shown = { source: video, width: video.videoWidth, height: video.videoHeight };
    while (this.stream) {
      await this.#classify();
      await new Promise(requestAnimationFrame); // which rests while the page is hidden
    }
  }

  async stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    [this.stream, this.shown] = [null, null];
    by("camera-start").textContent = "Start the camera";
    this.#end();
  }

  /** Classifies a picture file. */
  async picture(file) {
    if (!file) return;
    await this.stop();
    const source = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name} is no picture that this browser can read.`);
    });
    this.shown = { source, width: source.width, height: source.height };
    await this.#classify();
  }

  /** Goes on with another model or backend. */
  async reopen() {
    this.#end();
    if (this.shown && !this.stream) await this.#classify();
  }

  async #classify() {
    try {
      this.worker ??= this.#open();
      const { ask, job, names } = await this.worker;
      if (!this.shown) return; // stopped meanwhile
      const { scores, ms } = await ask({ pixels: this.#pixels(job.model) });
      const lines = best(scores, 3).map((index) => Object.assign(document.createElement("li"), { textContent: `${names[index]} ${scores[index].toFixed(2)}` }));
      by("camera-answers").replaceChildren(...lines);
      this.say(`${ms.toFixed(ms < 10 ? 2 : 1)} ms for an image, ${job.model.name}, ${job.backend.title}`);
    } catch (error) {
      if (error === null) return; // another model was chosen meanwhile
      await this.stop();
      throw error;
    }
  }

  /** A worker that classifies by the model that is chosen. */
  async #open() {
    const job = this.chosen();
    this.say(`Opening ${job.model.name}`);
    this.job = job;
    const files = await load(this.bundle, job.model);
    if (this.job !== job) throw null;
    const worker = new Worker(new URL("worker.js", import.meta.url));
    this.end = () => worker.terminate();
    let settle = {};
    worker.onerror = (event) => settle.reject(new Error(oneLine(event.message || "the worker died")));
    worker.onmessage = ({ data }) => {
      if (data.failed) settle.reject(new Error(data.failed));
      else if (!data.progress) settle.resolve(data.answer);
    };
    const ask = (message) => new Promise((resolve, reject) => {
      settle = { resolve, reject };
      this.cancel = () => reject(null);
      worker.postMessage(message);
    });
    await ask({ isClassifier: true, model: job.model, backend: job.backend, files });
    return { ask, job, names: files.names };
  }

  #end() {
    this.end?.();
    this.cancel?.();
    [this.worker, this.job] = [null, null];
  }

  /** The middle of what is shown at the model's size, RGB; the canvas shows it too. */
  #pixels({ input }) {
    const [, height, width] = input.shape;
    const canvas = Object.assign(by("camera-canvas"), { width, height });
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    const { source, ...full } = this.shown;
    const scale = Math.min(full.width / width, full.height / height);
    const [across, down] = [scale * width, scale * height];
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(source, (full.width - across) / 2, (full.height - down) / 2, across, down, 0, 0, width, height);
    const { data } = drawing.getImageData(0, 0, width, height);
    return Uint8Array.from({ length: 3 * width * height }, (_, i) => data[4 * Math.floor(i / 3) + (i % 3)]);
  }
}
