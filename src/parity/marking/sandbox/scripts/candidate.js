// Runs a program and answers calls of one of its functions over descriptor 3. Nothing here is trusted.
// Arguments: the program, the name of the function.
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");
const [program, entry] = process.argv.slice(1);

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, 4);
  for (let at = 0; at < frame.length; ) at += fs.writeSync(3, frame, at);
}
function read(size) {
  const found = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const count = fs.readSync(3, found, at, size - at);
    if (!count) process.exit(0);
    at += count;
  }
  return found;
}
function encode(value, depth) {
  if (depth > 200) throw new TypeError("deeper than 200 levels");
  const inside = (entry) => encode(entry, depth + 1);
  switch (typeof value) {
    case "undefined": return { u: 0 };
    case "bigint": return { b: String(value) };
    case "number": return Number.isFinite(value) && !Object.is(value, -0) ? value : { n: Object.is(value, -0) ? "-0" : String(value) };
    case "string": case "boolean": return value;
    case "object": break;
    default: throw new TypeError(`a value of type ${typeof value}`);
  }
  if (value === null) return null;
  if (Array.isArray(value)) return Array.from(value, inside);
  if (value instanceof Number || value instanceof String || value instanceof Boolean) throw new TypeError("a boxed value");
  if (value instanceof Date) return { d: value.getTime() };
  if (value instanceof Set) return { s: Array.from(value, inside) };
  if (value instanceof Map) return { m: Array.from(value, ([key, entry]) => [inside(key), inside(entry)]) };
  return { o: Object.entries(value).map(([key, entry]) => [key, inside(entry)]) };
}
function decode(message) {
  if (message === null || typeof message !== "object") return message;
  if (Array.isArray(message)) return message.map(decode);
  if ("u" in message) return undefined;
  if ("n" in message) return Number(message.n);
  if ("b" in message) return BigInt(message.b);
  return Object.fromEntries(message.o.map(([key, entry]) => [key, decode(entry)]));
}
globalThis.require = require;
let broken;
try { vm.runInThisContext(program, { filename: "candidate.js" }); }
catch (error) { broken = String(error); }
for (;;) {
  const question = JSON.parse(read(read(4).readUInt32LE()).toString("utf8"));
  const answer = { nonce: question.nonce };
  if (broken !== undefined) { send({ ...answer, broken }); continue; }
  let value, raised;
  try { value = vm.runInThisContext(entry)(...question.arguments.map(decode)); }
  catch (error) { raised = `${error}`; }
  if (raised !== undefined) { send({ ...answer, raised }); continue; }
  let sent;
  try { sent = { ...answer, value: encode(value, 0) }; }
  catch (error) { sent = { ...answer, unsendable: String(error) }; }
  send(sent);
}
