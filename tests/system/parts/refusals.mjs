// Loads of which every turn is refused: heads that are none, handshakes that fail, floods, and whoever comes too often.
//
// Shaped like the loads that are served; `seen` counts what must have come about at least once.

import { connect } from "node:net";
import { connect as connectSecure } from "node:tls";
import { expect } from "./report.mjs";
import { FLOODS, flood } from "./floods.mjs";
import { exchange, head, statusOf } from "./raw.mjs";
import { ask } from "./wire.mjs";

/** Their addresses are their own: what they use up is not what the people of the other loads need. */
const [OFTEN, STRANGE] = ["127.0.0.3", "127.0.0.2"];
const ADDRESSES = 200;
/** So many at once, that a slow machine is faster than the limit, too. */
const LOOKS = 16;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Requests that are refused for what they are, to any host. */
const HEADS = (host) => [
  head(host, "GET /page", [`Host: ${host}`]),
  head(host, "GET /page").replaceAll("\r\n", "\n"),
  head(host, "GET /pa ge"),
  head(host, "GET /page", ["X-Name : value"]),
  head(host, "GET /page", ["X-Name: a\0b"]),
  head(host, "GET /public/%00"),
  head(host, "POST /public/up", ["Content-Length: 5", "Transfer-Encoding: chunked"]) + "0\r\n\r\n",
  head(host, "POST /public/up", ["Transfer-Encoding: chunked"]) + "zz\r\n",
  head(host, "POST /public/up", ["Content-Length: 99999999999999"]),
  head(host, "GET /page", [`X-Long: ${"x".repeat(100_000)}`]),
];

/** Clients that do not get as far as a request. */
const HANDSHAKES = [
  { ciphers: "AES128-SHA", maxVersion: "TLSv1.2" },
  { ALPNProtocols: ["nothing"] },
  { bytes: "GET / HTTP/1.1\r\n\r\n" },
  { bytes: "\x16\x03\x01\x02\x00\x01" },
];

/** Tries to shake hands and leaves; whether it was let in. */
function shake(port, host, { bytes, ...options }) {
  return new Promise((done) => {
    const end = { host: "127.0.0.1", port };
    const socket = bytes ? connect(end) : connectSecure({ ...end, servername: host, rejectUnauthorized: false, ...options });
    if (bytes) socket.on("connect", () => socket.write(bytes, "latin1", () => setTimeout(() => socket.destroy(), 20)));
    socket.on("secureConnect", () => (done(true), socket.destroy()));
    socket.on("error", () => {}).on("close", () => done(false)).resume();
  });
}

export const REFUSED = {
  async refusedHeads({ host, port }, turn) {
    for (const bytes of HEADS(host)) {
      turn.at(`a head that is refused: ${JSON.stringify(bytes.slice(0, 60))}`);
      const status = statusOf(await exchange(port, bytes));
      expect(status >= 400 && status < 500, `${JSON.stringify(bytes.slice(0, 200))} was answered ${status}`);
    }
    await pause(250);
  },
  async handshakes({ host, secure }, turn) {
    for (const options of HANDSHAKES) {
      turn.at(`a handshake that fails: ${JSON.stringify(options)}`);
      expect(!(await shake(secure, host, options)), `let in with ${JSON.stringify(options)}`);
    }
    await pause(100);
  },
  async floods({ host, secure, turns }, turn) {
    const all = Object.entries(FLOODS);
    const [name, next] = all[turns.floods % all.length];
    turn.at(`a flood of ${name}`);
    const { closed, turn: taken } = await flood(secure, host, next);
    expect(closed, `${name}: still taken after ${taken}`);
    await pause(5000);
  },
  /** One address over the application's limit, and many below it. */
  async often({ counted, port, turns, seen }, turn) {
    turn.at("coming too often");
    const other = turns.often % ADDRESSES;
    const from = turns.often % 5 ? OFTEN : `127.1.${other}.${(turns.often / ADDRESSES) % 250 | 0}`;
    const { status, error } = await ask(port, { host: counted, from });
    expect(status === 200 || (status === 429 && from === OFTEN), `from ${from}: ${status ?? error}`);
    if (status === 429) seen.limited += 1;
    await pause(20);
  },
  /** A stranger who looks for what there is not. */
  async looking({ port, turns, seen }, turn) {
    turn.at("looking for hosts");
    const one = (index) => ask(port, { host: `h${LOOKS * turns.looking + index}.localhost`, from: STRANGE });
    for (const { status, error } of await Promise.all(Array.from({ length: LOOKS }, (_, index) => one(index)))) {
      expect(status >= 400 && status < 500, `looking for hosts: ${status ?? error}`);
      if (status === 429) seen.strangersLimited += 1;
    }
    await pause(200);
  },
};
