// pg-boss: LISTEN, large batches, and the next batch at once after a full one.
"use strict";
const { PgBoss } = require("pg-boss");
const { config, deliver, main } = require("./harness.js");

const QUEUE = "mail";
const DRAINING = { batchSize: 500, localConcurrency: 2, burstWhenBatchFull: true };
const SINGLE = { batchSize: 10, localConcurrency: 2 };
const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database } = process.env;
const boss = new PgBoss({
  host,
  port: Number(port),
  user,
  database,
  useListenNotify: true,
  supervise: false,
  schedule: false,
});
boss.on("error", console.error);

main({
  open: () => boss.start(),
  install: () => boss.createQueue(QUEUE, { notify: true }),
  enqueue: (numbers) => boss.insert(QUEUE, numbers.map((number) => ({ data: { number } }))),
  work: async () => {
    await boss.start();
    const options = { pollingIntervalSeconds: 0.5, ...(config.is_draining ? DRAINING : SINGLE) };
    await boss.work(QUEUE, options, (jobs) => Promise.all(jobs.map((job) => deliver(job.data.number))));
  },
});
