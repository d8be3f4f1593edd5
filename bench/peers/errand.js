// What a peer in Node is told, and how it tells how far it is; see errand.py.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { performance } = require("node:perf_hooks");
const nodemailer = require("nodemailer");

const errand = JSON.parse(fs.readFileSync(process.env.BENCH_ERRAND));
const folder = path.dirname(process.env.BENCH_ERRAND);
const now = () => performance.timeOrigin + performance.now();

// As nodemailer documents it for many mails: a pool, and no limit to what a connection may carry.
const mailer = nodemailer.createTransport({
  host: "127.0.0.1",
  port: errand.smtp_port,
  pool: true,
  maxConnections: errand.connections,
  maxMessages: Infinity,
  ignoreTLS: true,
});

const tally = { count: 0, last: 0, file: null, latencies: null };

function tell() {
  const record = Buffer.alloc(16);
  record.writeBigInt64LE(BigInt(tally.count), 0);
  record.writeDoubleLE(tally.last / 1000, 8);
  fs.writeSync(tally.file, record, 0, record.length, 0);
}

function startTelling() {
  tally.file = fs.openSync(path.join(folder, `tally-${process.pid}`), "w");
  tally.latencies = fs.openSync(path.join(folder, `latencies-${process.pid}`), "w");
  setInterval(tell, 10);
}

function handled(enqueuedAt) {
  tally.last = now();
  tally.count += 1;
  if (enqueuedAt) fs.writeSync(tally.latencies, `${tally.last - enqueuedAt}\n`);
}

const filled = (text, values) => text.replace(/\{(name|code)\}/g, (_, key) => values[key]);

async function deliver({ number, enqueuedAt }) {
  if (errand.form === "usual") {
    const words = errand.words[number % 2 ? "en" : "fr"];
    const values = { name: `User ${number}`, code: String(number % 1000000).padStart(6, "0") };
    await mailer.sendMail({
      from: errand.sender,
      to: `user${number}@example.org`,
      subject: filled(words.subject, values),
      text: filled(words.text, values),
      html: filled(words.html, values),
    });
  }
  handled(enqueuedAt);
}

async function trickle(count, enqueue) {
  for (let number = 0; number < count; number++) {
    await enqueue({ number, enqueuedAt: now() });
    await new Promise((resolve) => setTimeout(resolve, errand.pause_seconds * 1000));
  }
}

async function toldToGoOn() {
  fs.writeFileSync(path.join(folder, "filled"), "");
  while (!fs.existsSync(path.join(folder, "go-on"))) {
    if (!fs.existsSync(folder)) process.exit(1); // nobody waits for the rest any more
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// "fill COUNT [COUNT]" begins with installing; the second lot waits until told.
async function main({ install, fill, trickle, work }) {
  const [command, first, ...rest] = process.argv.slice(2);
  if (command === "work") {
    startTelling();
    await work();
  } else if (command === "trickle") {
    await trickle(Number(first));
  } else {
    await install();
    await fill(Number(first));
    for (const count of rest) {
      await toldToGoOn();
      await fill(Number(count));
    }
  }
  if (command !== "work") process.exit(0);
}

module.exports = { errand, deliver, trickle, main };
