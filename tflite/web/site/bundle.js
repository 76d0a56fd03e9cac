// The site's bundle: its manifest and files, each checked against its SHA-256 before it is used.

export class BundleError extends Error {}

/** Reads site.json and the manifest; models carry the file that LiteRT.js opens as `file`. */
export async function openBundle() {
  const site = await json("site.json");
  const manifest = await json("bundle/manifest.json");
  if (manifest.schema_version !== 1) throw new BundleError(`the bundle has schema ${manifest.schema_version}; make the site anew`);
  for (const model of manifest.models ?? []) {
    model.file = site.models?.[model.name];
    model.images = (manifest.images ?? []).find((images) => images.path === model.images);
    if (!model.file || !model.images) throw new BundleError(`the bundle says nothing of ${model.name}'s files; make the site anew`);
  }
  if (!manifest.models?.length) throw new BundleError("the bundle holds no models; make the site anew");
  return { ...manifest, runtimeVersion: site.runtime_version };
}

/** What the worker needs of a model: its file, probes, images and class names. */
export async function load(bundle, model) {
  const file = (path) => fetched(`bundle/${path}`, bundle.files[path]);
  const [content, inputs, outputs, pixels, labels] = await Promise.all([
    fetched(model.file.path, model.file.sha256),
    file(model.probes.inputs), file(model.probes.outputs), file(model.images.path), file(model.labels),
  ]);
  const { count, height, width } = model.images;
  if (pixels.length !== count * height * width * 3) throw new BundleError(`${model.images.path} has another size`);
  const classes = model.output.shape.at(-1);
  if (outputs.length !== 4 * classes * model.probes.count) throw new BundleError(`${model.probes.outputs} has another size`);
  return { content, inputs, outputs, pixels, names: new TextDecoder().decode(labels).split("\n").slice(0, classes) };
}

async function json(path) {
  const bytes = await fetched(path);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new BundleError(`${path} is damaged; make the site anew`);
  }
}

async function fetched(path, digest = null) {
  const answer = await fetch(path).catch(() => null);
  if (!answer?.ok) throw new BundleError(`${path} is missing or the server is gone (${answer?.status ?? "no answer"})`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (digest && globalThis.crypto?.subtle) { // which browsers give to https and to this machine's own pages
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const text = Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (text !== digest) throw new BundleError(`${path} is damaged: its SHA-256 differs; make the site anew`);
  }
  return bytes;
}
