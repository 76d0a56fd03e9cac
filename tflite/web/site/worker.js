// One row: a worker of its own, so that each starts cold and a crash costs one row. Not a module, since LiteRT.js loads by importScripts.
"use strict";

self.onmessage = async ({ data }) => {
  try {
    const { measure } = await import("./measurement.js");
    self.postMessage({ done: await measure(data, (progress) => self.postMessage({ progress })) });
  } catch (error) {
    self.postMessage({ failed: String(error?.message ?? error) });
  }
};
