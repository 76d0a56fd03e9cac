// A row of results.json by the names of its schema (tflite/results/results.schema.json), and the file around the rows.

import { rounded } from "./statistics.js";

const FIELDS = [
  "model", "quantization", "backend", "threads", "parameters", "macs", "model_size_mb", "num_runs", "num_warmup_runs",
  "init_ms", "first_inference_ms", "median_ms", "avg_ms", "min_ms", "max_ms", "stddev_ms", "p5_ms", "p90_ms", "p95_ms",
  "peak_mem_mb", "top1", "max_abs_err", "nodes_total", "nodes_delegated", "partitions", "accelerator", "thermal_start",
  "thermal_end", "status", "error", "compression", "gzip_size_mb", "sparsity", "gmacs_per_s", "drift",
];

/** A row: what the manifest knows, what was measured; all fields, null where unknown. */
export function rowOf(model, backend, figures) {
  const given = {
    model: model.name,
    quantization: model.quantization,
    compression: model.compression,
    parameters: model.parameters,
    macs: model.macs,
    gzip_size_mb: model.gzip_bytes == null ? null : rounded(model.gzip_bytes / 1e6, 6),
    sparsity: model.sparsity,
    nodes_total: model.nodes,
    backend: backend.result,
    threads: backend.threads,
    status: "ok",
    ...figures,
  };
  if (given.status === "ok") given.model_size_mb = rounded(model.size_bytes / 1e6, 6);
  return Object.fromEntries(FIELDS.map((name) => [name, given[name] ?? null]));
}

/** The row of a measurement that did not come to its end. */
export const failedRow = (model, backend, reason) => rowOf(model, backend, { status: "failed", error: oneLine(reason) });

/** Whether the CPU did what was meant for WebGPU. */
export const fellBack = (row) => row.status === "ok" && row.backend === "webgpu" && row.nodes_delegated === 0;

/** The content of results.json; files go by the SHA-256 of the bundle, as on the host. */
export function resultsJson(rows, bundle) {
  const measured = bundle.models.filter((model) => rows.some((row) => row.model === model.name));
  const { browser, os, device } = place();
  return {
    schema_version: 1,
    environment: {
      device: `${device}, ${browser}`,
      soc: null,
      os,
      runtime: "LiteRT.js",
      runtime_version: bundle.runtimeVersion,
      threads_available: navigator.hardwareConcurrency || null,
      timestamp: new Date().toISOString(),
      model_sha256: Object.fromEntries(measured.map((model) => [`${model.name}.tflite`, bundle.files[model.path]])),
    },
    rows,
  };
}

export const oneLine = (text) => String(text ?? "").split(/\s+/).filter(Boolean).join(" ").slice(0, 300) || "no reason given";

/** What the browser says of itself. */
function place() {
  const agent = navigator.userAgent;
  const named = [["Edg", "Edge"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Version", "Safari"]];
  const found = named.map(([key, name]) => [name, agent.match(new RegExp(`${key}/(\\d+)`))?.[1]]).find(([, version]) => version);
  const inside = agent.match(/\(([^)]*)\)/)?.[1] ?? "unknown system";
  const isPhone = /Android|iPhone|iPad/.test(agent);
  return { browser: found ? found.join(" ") : "unknown browser", os: inside, device: isPhone ? "phone" : "computer" };
}
