// Pixels to a model's input, outputs to scores, and what is right: the page's side of keras_mobilenets/pixels and of the
// app's Pixels.kt, number for number; tests hold all three to tests/tflite/vectors.json.

const float = Math.fround;
const ARRAYS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };

/** What each of the 256 pixel values is in a channel of an input tensor of the manifest, in its own dtype. */
export function inputTable(spec, channel = 0) {
  const mean = float((spec.mean ?? [127.5])[channel]);
  const std = float((spec.std ?? [127.5])[channel]);
  const isSame = String(spec.mean) === String(spec.std);
  const [scale, lowest] = [float(spec.scale), spec.dtype === "int8" ? -128 : 0];
  const within = (value) => Math.min(Math.max(value, lowest), lowest + 255);
  const passesThrough = Math.abs(scale * 127.5 - 1) < 0.01 && [127, 128].includes(spec.zero_point - lowest);
  return Float32Array.from({ length: 256 }, (_, pixel) => {
    const scaled = isSame ? float(float(pixel / std) - 1) : float(float(pixel - mean) / std);
    if (spec.dtype === "float32") return scaled;
    if (scale === 0) return pixel; // an input of uint8 pixels
    if (passesThrough) return within(halfToEven(float(scaled + 1) * 127.5) + lowest);
    return within(halfToEven(float(scaled / scale)) + spec.zero_point);
  });
}

/** An input in the tensor's own dtype, of bytes of pixels 0..255, RGB, row by row. */
export function inputOfPixels(pixels, spec) {
  const tables = (spec.mean ?? [127.5]).map((_, channel) => inputTable(spec, channel));
  return ARRAYS[spec.dtype].from(pixels, (pixel, i) => tables[i % tables.length][pixel]);
}

/** The values of little-endian bytes, in the tensor's own dtype. */
export function stored(bytes, spec) {
  return new ARRAYS[spec.dtype](bytes.slice().buffer);
}

/** Values as floats: (q − zero point) · scale of an integer tensor, float32 as it is. */
export function dequantized(values, spec) {
  if (spec.dtype === "float32") return Float32Array.from(values);
  const scale = float(spec.scale);
  return Float32Array.from(values, (value) => (value - spec.zero_point) * scale);
}

/** The classes with the highest scores, best first; equal scores in the order of the classes. */
export function best(scores, count = 1) {
  return Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

/** The labels of several that are there, from a score of 0.5 on, the surest first. */
export function present(scores) {
  return best(scores, scores.length).filter((label) => scores[label] >= 0.5);
}

/**
 * Answers beside the host's.
 * @returns {{max_abs_err: number, wrong: number}} the largest difference, and how many have another best class.
 * @throws {Error} where an answer is not a number.
 */
export function compared(answers, host) {
  let [largest, wrong] = [0, 0];
  answers.forEach((scores, i) => {
    if (!scores.every(Number.isFinite)) throw new Error("the outputs are not numbers");
    scores.forEach((score, k) => { largest = Math.max(largest, Math.abs(float(score - host[i][k]))); });
    wrong += best(scores)[0] !== best(host[i])[0];
  });
  return { max_abs_err: largest, wrong };
}

/** Share of answers whose highest score is their label; null without labels, or where an image has several. */
export function top1(answers, labels) {
  return labels.length && !Array.isArray(labels[0]) ? answers.filter((scores, i) => best(scores)[0] === labels[i]).length / labels.length : null;
}

function halfToEven(value) {
  const near = Math.round(value);
  return Math.abs(value % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}
