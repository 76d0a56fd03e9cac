// One row, or one model that classifies: a worker of its own, so that each starts cold and a crash costs nothing else.
// Not a module, since LiteRT.js loads by importScripts.
"use strict";

let classify = null;

self.onmessage = async ({ data }) => {
  const progress = (said) => self.postMessage({ progress: said });
  try {
    const { classifier, measure } = await import("./measurement.js");
    if (data.pixels) return self.postMessage({ answer: await classify(data.pixels) });
    if (!data.isClassifier) return self.postMessage({ done: await measure(data, progress) });
    classify = await classifier(data, progress);
    self.postMessage({ ready: true });
  } catch (error) {
    self.postMessage({ failed: String(error?.message ?? error) });
  }
};
