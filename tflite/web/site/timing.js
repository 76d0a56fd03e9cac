// How long to measure, as the app does: runs and time must both be reached, and the longest time ends it.

export const TIMING = { warmupRuns: 10, warmupMs: 500, minRuns: 100, minMs: 1000, maxMs: 60000 };
