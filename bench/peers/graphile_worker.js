// graphile-worker, as its performance page has it: a local queue, completions in batches; neither when each is to be quick.
"use strict";
const { Pool } = require("pg");
const { run, makeWorkerUtils } = require("graphile-worker");
const { errand, deliver, trickle, main } = require("./errand.js");

const CONCURRENCY = 24;
const LOCAL_QUEUE = 500;
const AT_ONCE = 1000;
const pgPool = new Pool({ max: CONCURRENCY + 6 });

async function install() {
  await (await makeWorkerUtils({ pgPool })).migrate();
}

async function fill(count) {
  const utils = await makeWorkerUtils({ pgPool });
  for (let start = 0; start < count; start += AT_ONCE) {
    const length = Math.min(AT_ONCE, count - start);
    const specs = Array.from({ length }, (_, n) => ({ identifier: "mail", payload: { number: start + n } }));
    await utils.addJobs(specs);
  }
}

async function work() {
  const batches = { localQueue: { size: LOCAL_QUEUE }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  const worker = { concurrentJobs: CONCURRENCY, pollInterval: 1000, ...(errand.is_draining ? batches : {}) };
  await run({ pgPool, preset: { worker }, taskList: { mail: deliver } });
}

async function trickleAll(count) {
  const utils = await makeWorkerUtils({ pgPool });
  await trickle(count, (payload) => utils.addJob("mail", payload));
}

main({ install, fill, work, trickle: trickleAll });
