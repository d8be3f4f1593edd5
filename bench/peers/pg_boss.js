// pg-boss: LISTEN, batches that are large only to drain, and the next batch at once after a full one.
"use strict";
const { PgBoss } = require("pg-boss");
const { config, deliver, main } = require("./harness.js");

const QUEUE = "mail";
const BATCH = config.is_draining ? 500 : 10;
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
    const options = { batchSize: BATCH, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
    await boss.work(QUEUE, options, (jobs) => Promise.all(jobs.map((job) => deliver(job.data.number))));
  },
});
