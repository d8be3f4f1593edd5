// What the peer programs in Node share: configuration, counting and commands. See harness.py.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const nodemailer = require("nodemailer");

const TRICKLE_FROM = 1_000_000;
const CHUNK = 1000;
const config = JSON.parse(fs.readFileSync(process.env.BENCH_CONFIG));
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// A pool without a limit per connection, as nodemailer documents it for many mails.
const mailer = nodemailer.createTransport({
  host: "127.0.0.1",
  port: config.smtp_port,
  pool: true,
  maxConnections: config.connections,
  maxMessages: Infinity,
  ignoreTLS: true,
});

const counter = { count: 0, last: 0 };

function startCounting() {
  const file = fs.openSync(path.join(path.dirname(process.env.BENCH_CONFIG), `handled-${process.pid}`), "w");
  const record = Buffer.alloc(16);
  setInterval(() => {
    record.writeBigInt64LE(BigInt(counter.count), 0);
    record.writeDoubleLE(counter.last, 8);
    fs.writeSync(file, record, 0, record.length, 0);
  }, 10);
}

const filled = (text, values) => text.replace(/\{(name|code)\}/g, (_, key) => values[key]);

async function deliver(number) {
  if (config.handler === "send") {
    const texts = config.texts[number % 2 ? "en" : "fr"];
    const values = { name: `User ${number}`, code: String(number % 1_000_000).padStart(6, "0") };
    await mailer.sendMail({
      from: config.sender,
      to: `user${number}@example.org`,
      subject: filled(texts.subject, values),
      text: filled(texts.text, values),
      html: filled(texts.html, values),
    });
  }
  counter.count += 1;
  counter.last = now();
}

async function enqueueMany(enqueue, count) {
  for (let start = 0; start < count; start += CHUNK) {
    await enqueue(Array.from({ length: Math.min(CHUNK, count - start) }, (_, n) => start + n));
  }
}

// `enqueue` takes the numbers of messages. `open` connects before the first of them.
async function main({ open, install, enqueue, work }) {
  const [command, count, pause] = process.argv.slice(2);
  if (command === "work") {
    startCounting();
    return work();
  }
  await open();
  if (command === "install") await install();
  if (command === "trickle") {
    for (let number = TRICKLE_FROM; number < TRICKLE_FROM + Number(count); number++) {
      console.log(now());
      await enqueue([number]);
      await sleep(Number(pause));
    }
  } else {
    await enqueueMany(enqueue, Number(count));
  }
  process.exit(0);
}

module.exports = { config, deliver, main };
