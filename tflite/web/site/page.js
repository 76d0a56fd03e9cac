// The page: a table of models and backends, what runs, results.json, and the images with what the model says of them.

import { best, present } from "./correctness.js";
import { openBundle } from "./bundle.js";
import { offerCamera } from "./camera.js";
import { fellBack, resultsJson } from "./results.js";
import { backends, Session } from "./session.js";
import { TIMING } from "./timing.js";

const SHOWN = 12; // images
const by = (id) => document.getElementById(id);
const number = (value, digits) => (value == null ? "–" : value.toFixed(digits ?? (value < 1 ? 3 : value < 10 ? 2 : 1)));
const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(1)}%`);

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** What stands in a row's cells behind model and backend. */
function cells({ state, said, row, model, right, probes }) {
  if (state !== "done") return ["", "", "", "", "", state === "running" ? said : state ?? ""];
  if (row.status !== "ok") return ["", "", "", "", "", `✗ failed: ${row.error}`];
  const status = fellBack(row) ? "! fell back to WASM" : row.error ? `✗ ${row.error}` : "✓ right";
  return [
    number(row.median_ms), number(row.p90_ms), number(row.init_ms, 0),
    `${percent(row.top1)}${model.host_top1 == null ? "" : ` (host ${percent(model.host_top1)})`}`,
    `${right} of ${probes}, ±${row.max_abs_err.toPrecision(2)}`, status,
  ];
}

function draw(job) {
  const texts = cells(job);
  texts.forEach((text, i) => { job.line.cells[i + 2].textContent = text; });
  const last = job.line.cells[texts.length + 1];
  last.className = /^[✗!]/.test(texts.at(-1)) ? "bad" : texts.at(-1).startsWith("✓") ? "good" : "soft";
}

/** The first images, with their class and what the model says. */
function showImages({ model, files, answers, names }) {
  const { count, height, width, labels } = model.images;
  const cards = Array.from({ length: Math.min(SHOWN, count) }, (_, i) => {
    const card = element("li");
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const image = new ImageData(width, height);
    const from = i * height * width * 3;
    for (let p = 0; p < height * width; p++) {
      image.data.set(files.pixels.subarray(from + 3 * p, from + 3 * p + 3), 4 * p);
      image.data[4 * p + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const said = model.task === "attributes" ? present(answers[i]) : best(answers[i]);
    const truth = labels.length ? [labels[i]].flat() : null;
    const isRight = truth && said.length === truth.length && said.every((label) => truth.includes(label));
    const words = (numbers, write) => numbers.map(write).join(", ") || "none";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", truth ? words(truth, (label) => names[label]) : `image ${i + 1}`);
    const mark = isRight === null ? "" : isRight ? "✓ " : "✗ ";
    const answer = words(said, (label) => `${names[label]} ${answers[i][label].toFixed(2)}`);
    card.append(canvas, element("span", `${mark}${answer}`, isRight === false ? "bad" : ""));
    if (isRight === false) card.append(element("span", `is ${words(truth, (label) => names[label])}`, "soft"));
    return card;
  });
  by("images").replaceChildren(...cards);
  by("gallery").hidden = false;
  by("whose").textContent = model.name;
}

async function start() {
  const bundle = await openBundle();
  document.title = bundle.name;
  by("title").textContent = bundle.name;
  const { found, notes } = await backends();
  by("notes").replaceChildren(...notes.map((note) => element("li", note)));
  const jobs = bundle.models.flatMap((model) => found.map((backend) => ({ model, backend })));
  for (const job of jobs) {
    job.line = by("rows").insertRow();
    job.line.dataset.job = `${job.model.name} ${job.backend.id}`;
    const name = element("th");
    name.append(...job.model.name.split(/(?<=_)/).flatMap((part) => [part, document.createElement("wbr")]));
    job.line.append(name, element("td", job.backend.title));
    for (const name of ["n", "n", "n", "n", "n", "soft"]) job.line.append(element("td", "", name));
    job.line.cells[0].scope = "row";
  }
  const asked = new URLSearchParams(location.search);

  const timing = asked.has("runs") ? { ...TIMING, minRuns: Number(asked.get("runs")) || TIMING.minRuns, minMs: 0, warmupMs: 0 } : TIMING;
  const session = new Session(bundle, jobs, timing, (job) => {
    draw(job);
    by("state").textContent = `${job.model.name}, ${job.backend.title}: ${job.state === "running" ? job.said : job.state}`;
    if (job.answers) showImages(job);
  });
  by("run").addEventListener("click", async () => {
    [by("run").disabled, by("stop").disabled] = [true, false];
    await session.run(jobs);
    [by("run").disabled, by("stop").disabled] = [false, true];
    const wrong = session.rows.filter((row) => row.status !== "ok" || row.error || fellBack(row)).length;
    by("state").textContent = `${session.rows.length} of ${jobs.length} rows measured, ${wrong} with something wrong`;
    by("save").disabled = !session.rows.length;
    by("run").focus();
  });
  by("stop").addEventListener("click", () => session.stop());
  by("save").addEventListener("click", () => {
    const text = `${JSON.stringify(resultsJson(session.rows, bundle), null, 2)}\n`;
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "results.json";
    link.click();
  });
  offerCamera(bundle, found);
  by("run").disabled = false;
  by("state").textContent = `${bundle.models.length} models, ${found.length} backends`;
}

start().catch((error) => {
  by("state").textContent = error.message;
  by("state").className = "bad";
});
