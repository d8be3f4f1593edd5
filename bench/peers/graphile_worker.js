// graphile-worker with the settings of its performance page: a local queue and completion in batches, both only to drain.
"use strict";
const { Pool } = require("pg");
const { run, makeWorkerUtils } = require("graphile-worker");
const { config, deliver, main } = require("./harness.js");

const CONCURRENCY = 24;
const pgPool = new Pool({ max: CONCURRENCY + 1 });
const batches = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
let utils;

main({
  open: async () => {
    utils = await makeWorkerUtils({ pgPool });
  },
  install: () => utils.migrate(),
  enqueue: (numbers) => utils.addJobs(numbers.map((number) => ({ identifier: "mail", payload: { number } }))),
  work: () => {
    const worker = { concurrentJobs: CONCURRENCY, pollInterval: 1000, ...(config.is_draining ? batches : {}) };
    return run({ pgPool, preset: { worker }, taskList: { mail: ({ number }) => deliver(number) } });
  },
});
