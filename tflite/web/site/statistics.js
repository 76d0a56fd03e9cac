// Sums of durations, as tflite/measurement/latency.py and the app's Statistics.kt have them; tests hold all three to
// tests/tflite/vectors.json.

/** median, avg, min, max, stddev (population), p5, p90, p95 of milliseconds, with 4 decimals, each named with `_ms`. */
export function statistics(milliseconds) {
  const ms = Float64Array.from(milliseconds).sort();
  const mean = ms.reduce((sum, each) => sum + each, 0) / ms.length;
  const figures = {
    median_ms: percentile(ms, 50),
    avg_ms: mean,
    min_ms: ms[0],
    max_ms: ms[ms.length - 1],
    stddev_ms: Math.sqrt(ms.reduce((sum, each) => sum + (each - mean) ** 2, 0) / ms.length),
    p5_ms: percentile(ms, 5),
    p90_ms: percentile(ms, 90),
    p95_ms: percentile(ms, 95),
  };
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, rounded(value, 4)]));
}

/** Median of the last third over that of the first third, minus 1; null of fewer than 9 durations. */
export function drift(milliseconds) {
  const third = Math.floor(milliseconds.length / 3);
  if (third < 3) return null;
  const median = (part) => percentile(Float64Array.from(part).sort(), 50);
  const first = median(milliseconds.slice(0, third));
  return first > 0 ? rounded(median(milliseconds.slice(-third)) / first - 1, 4) : null; // a coarse clock gives 0
}

/** To so many decimals, as Python's round does it: by the exact value, half to even. */
export function rounded(value, decimals) {
  const near = Number(value.toFixed(decimals));
  const half = value.toFixed(100).match(new RegExp(`^(-?\\d+\\.\\d{${decimals - 1}}(\\d))50*$`));
  return half && half[2] % 2 === 0 ? Number(half[1]) : near;
}

function percentile(sorted, percent) {
  const place = (sorted.length - 1) * (percent / 100);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}
