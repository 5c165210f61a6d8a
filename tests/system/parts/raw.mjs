// Requests as bytes, over a socket of their own: nothing is resolved, encoded or put right on the way.

import { connect } from "node:net";

const LIMIT_MS = 20_000;
const AT_ONCE = 8;

/** Sends `bytes` and reads until the other end closes; what came, as Latin-1. Ends that break off are ends. */
export function exchange(port, bytes) {
  return new Promise((done, failed) => {
    const parts = [];
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error(`no answer in ${LIMIT_MS} ms to ${JSON.stringify(bytes)}`)));
    socket.on("data", (part) => parts.push(part));
    let why = null;
    socket.on("error", (error) => (why = error.code ? null : error));
    socket.on("close", () => (why ? failed(why) : done(Buffer.concat(parts).toString("latin1"))));
  });
}

/** A head: request line without version, and further lines as they are to stand on the wire. */
export function head(host, line, lines = []) {
  return [`${line} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...lines, "", ""].join("\r\n");
}

export const statusOf = (answer) => Number(answer.match(/^HTTP\/1\.[01] (\d{3})/)?.[1] ?? 0);

/** What `ask` gives for each item, a few at a time, in the items' order. */
export async function forEach(items, ask) {
  const found = new Array(items.length);
  let next = 0;
  const work = async () => {
    for (let at = next++; at < items.length; at = next++) found[at] = await ask(items[at]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}
