// pg-boss: large batches, inserted, fetched and completed at once; it polls, at its shortest interval of half a second.
"use strict";
const Boss = require("pg-boss");
const { errand, deliver, trickle, main } = require("./errand.js");

const BATCH = 1000;
const QUEUE = "mail";
const boss = new Boss({ max: 8, supervise: false, schedule: false });
boss.on("error", (error) => console.error(error));

async function install() {
  await boss.start();
  await boss.createQueue(QUEUE);
}

async function fill(count) {
  for (let start = 0; start < count; start += BATCH) {
    const length = Math.min(BATCH, count - start);
    await boss.insert(Array.from({ length }, (_, n) => ({ name: QUEUE, data: { number: start + n } })));
  }
}

// Its worker waits for its interval after each batch, however short that took; so to drain, it is asked directly.
async function drain() {
  for (;;) {
    const batch = await boss.fetch(QUEUE, { batchSize: BATCH });
    if (!batch.length) await new Promise((resolve) => setTimeout(resolve, 100));
    await Promise.all(batch.map((one) => deliver(one.data)));
    if (batch.length) await boss.complete(QUEUE, batch.map((one) => one.id));
  }
}

async function work() {
  await boss.start();
  if (errand.is_draining) return drain();
  await boss.work(QUEUE, { pollingIntervalSeconds: 0.5, batchSize: 100 }, (batch) =>
    Promise.all(batch.map((one) => deliver(one.data))));
}

async function trickleAll(count) {
  await boss.start();
  await trickle(count, (data) => boss.send(QUEUE, data));
}

main({ install, fill, work, trickle: trickleAll });
