// The queue of rows: which backends this browser has, and one worker after the other.

import { load } from "./bundle.js";
import { failedRow, oneLine, rowOf } from "./results.js";

const LIMIT_MS = 180000; // of one row

/** The backends that this browser has, and one line for each that it lacks. */
export async function backends() {
  const found = [{ id: "wasm-1", result: "xnnpack", threads: 1, title: "WASM, 1 thread" }];
  const notes = [];
  const threads = Math.min(4, navigator.hardwareConcurrency || 1);
  if (!globalThis.crossOriginIsolated) {
    notes.push(`No threads here: they need ${isSecureContext ? "the headers that keras-mobilenets web --serve sends" : "https"}. The clock is coarse, too.`);
  } else if (threads > 1) {
    found.push({ id: `wasm-${threads}`, result: "xnnpack", threads, title: `WASM, ${threads} threads` });
  } else {
    notes.push("No threads here: this machine has one core for the browser.");
  }
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (adapter) found.push({ id: "webgpu", result: "webgpu", threads: 1, title: "WebGPU" });
  else notes.push(`No WebGPU here: ${navigator.gpu ? "the browser finds no GPU that it may use" : isSecureContext ? "this browser lacks it" : "it needs https"}.`);
  return { found, notes };
}

/** Runs jobs (model, backend) in order. */
export class Session {
  /** @param changed is called with each job after every change of it. */
  constructor(bundle, jobs, timing, changed) {
    Object.assign(this, { bundle, jobs, timing, changed, worker: null, isStopped: false });
  }

  get rows() {
    return this.jobs.map((job) => job.row).filter(Boolean);
  }

  async run(jobs) {
    this.isStopped = false;
    for (const job of jobs) this.#set(job, { state: "waiting", row: null, answers: null });
    for (const job of jobs) {
      if (this.isStopped) this.#set(job, { state: "cancelled" });
      else await this.#one(job);
    }
  }

  /** Ends what runs; rows that are done stay. */
  stop() {
    this.isStopped = true;
    this.cancel?.();
  }

  async #one(job) {
    this.#set(job, { state: "running", said: "fetching" });
    try {
      job.files = await load(this.bundle, job.model);
      if (this.isStopped) throw null;
      const { figures, ...more } = await this.#measured(job);
      this.#set(job, { state: "done", row: rowOf(job.model, job.backend, figures), ...more, names: job.files.names });
    } catch (error) {
      if (error === null) this.#set(job, { state: "cancelled" });
      else this.#set(job, { state: "done", row: failedRow(job.model, job.backend, error.message) });
    }
  }

  #measured(job) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL("worker.js", import.meta.url));
      const end = (settle, value) => {
        clearTimeout(timer);
        worker.terminate();
        this.cancel = null;
        settle(value);
      };
      const timer = setTimeout(() => end(reject, new Error(`no answer for ${LIMIT_MS / 1000} s`)), LIMIT_MS);
      this.cancel = () => end(reject, null);
      worker.onerror = (event) => end(reject, new Error(oneLine(event.message || "the worker died")));
      worker.onmessage = ({ data }) => {
        if (data.done) end(resolve, data.done);
        else if (data.failed) end(reject, new Error(data.failed));
        else this.#set(job, { said: data.progress });
      };
      const { images, ...rest } = job.model;
      worker.postMessage({ model: { ...rest, images }, backend: job.backend, timing: this.timing, files: job.files });
    });
  }

  #set(job, what) {
    Object.assign(job, what);
    this.changed(job);
  }
}
