// Runs a benchmark's test in JavaScript; the program under test is another process, reached over descriptor 3.
// Arguments: a nonce for the verdict, the name under test, the test. The verdict is a frame on descriptor 4.
"use strict";
const fs = require("node:fs");
const crypto = require("node:crypto");
const [nonce, entry, test] = process.argv.slice(1);
const MAX = 16 << 20;

class Verdict extends Error {
  constructor(outcome, detail) { super(detail); this.outcome = outcome; }
}
function send(to, message) {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, 4);
  for (let at = 0; at < frame.length; ) at += fs.writeSync(to, frame, at);
}
function read(size) {
  const found = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    let count = 0;
    try { count = fs.readSync(3, found, at, size - at); } catch (error) { count = 0; }
    if (!count) throw new Verdict("ended its process", "");
    at += count;
  }
  return found;
}
function encode(value) {
  if (value === undefined) return { u: 0 };
  if (typeof value === "number" && !(Number.isFinite(value) && !Object.is(value, -0))) return { n: Object.is(value, -0) ? "-0" : String(value) };
  if (typeof value === "bigint") return { b: String(value) };
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(encode);
  return { o: Object.entries(value).map(([key, entry]) => [key, encode(entry)]) };
}
// Built anew from plain values; nothing the program wrote is ever run here.
function decode(message, depth = 0) {
  if (depth > 400) throw new Verdict("answered no plain value", "deeper than 400 levels");
  if (message === null || typeof message !== "object") return message;
  if (Array.isArray(message)) return message.map((entry) => decode(entry, depth + 1));
  const [tag] = Object.keys(message), body = message[tag];
  switch (tag) {
    case "u": return undefined;
    case "n": return Number(body);
    case "b": return BigInt(body);
    case "d": return new Date(Number(body));
    case "s": return new Set(body.map((entry) => decode(entry, depth + 1)));
    case "m": return new Map(body.map(([key, entry]) => [decode(key, depth + 1), decode(entry, depth + 1)]));
    case "o": {
      const made = {};
      for (const [key, entry] of body) {
        const value = decode(entry, depth + 1);
        Object.defineProperty(made, String(key), { value, enumerable: true, writable: true, configurable: true });
      }
      return made;
    }
    default: throw new Verdict("broke the exchange", "a value that is none");
  }
}
function ask(...values) {
  const number = crypto.randomBytes(8).toString("hex");
  try { send(3, { nonce: number, arguments: values.map(encode) }); }
  catch (error) { throw new Verdict("ended its process", ""); }
  const size = read(4).readUInt32LE();
  if (size > MAX) throw new Verdict("broke the exchange", `a frame of ${size} bytes`);
  let answer;
  try { answer = JSON.parse(read(size).toString("utf8")); }
  catch (error) {
    if (error instanceof Verdict) throw error;
    throw new Verdict("broke the exchange", "a frame that is no JSON");
  }
  if (answer === null || typeof answer !== "object" || answer.nonce !== number) throw new Verdict("broke the exchange", "an answer to a question that was not asked");
  if ("broken" in answer) throw new Verdict("does not load", String(answer.broken).slice(0, 300));
  if ("unsendable" in answer) throw new Verdict("answered no plain value", String(answer.unsendable).slice(0, 200));
  if ("raised" in answer) throw new Verdict("raised an exception", String(answer.raised).slice(0, 300));
  try { return decode(answer.value); }
  catch (error) {
    if (error instanceof Verdict) throw error;
    throw new Verdict("broke the exchange", "a value that is none");
  }
}
let outcome = "passed", detail = "", compiled = false;
try {
  const run = new Function("require", entry, test);
  compiled = true;
  run(require, ask);
} catch (error) {
  outcome = error instanceof Verdict ? error.outcome : !compiled ? "no verdict" : "wrong answer";
  detail = error instanceof Verdict ? error.message : `${error.name}: ${String(error.message).split("\n")[0]}`.slice(0, 300);
}
send(4, { nonce, outcome, detail, held_objects: false });
process.exit(0);
