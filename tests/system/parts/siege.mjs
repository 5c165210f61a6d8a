// Clients that hold on to what they opened: connections that stop in the middle of what comes first, uploads that nobody takes, and junk at
// the addresses that providers' messages come to.
//
// Each attack goes on until it is told that it is enough, or until the other side has ended it; what it tells at its end is checked there.

import { connect as connectSecure } from "node:http2";
import { createServer, connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { once } from "node:events";
import { expect } from "./report.mjs";
import { halfHead } from "./floods.mjs";
import { Visitor } from "./visitor.mjs";

const HELD = 200;
const HELD_MS = 30_000;
const LEAST = Buffer.from("16030102000100", "hex");
const BODY = Buffer.alloc(64 * 1024, 120);

/** What half-open connections send, and then nothing more; `from` is the address that a load balancer has. */
export const HALVES = {
  "half TLS handshakes": ({ secure }) => ({ port: secure, bytes: LEAST }),
  "half HTTP/2 heads": ({ secure, host }) => ({ port: secure, bytes: halfHead(host), tls: true }),
  "half PROXY headers": ({ behind, from }) => ({ port: behind, from, bytes: Buffer.from("PROXY TCP4 192.0.2.1 ") }),
  "long PROXY headers": ({ behind, from }) => ({ port: behind, from, bytes: LONG }),
};

// Version 2, with 65,535 bytes announced and most of them sent.
const LONG = Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a2111ffff", "hex"), Buffer.alloc(60_000)]);

/** Opens many connections that send `bytes`, and waits until the other side has closed every one; how many it opened. */
export async function hold({ port, bytes, from, tls }, host) {
  const one = () => {
    const end = { port, host: "127.0.0.1", localAddress: from };
    const socket = tls ? connectTls({ ...end, servername: host, ALPNProtocols: ["h2"], rejectUnauthorized: false }) : connect(end);
    socket.on("error", () => {}).resume();
    socket.once(tls ? "secureConnect" : "connect", () => socket.write(bytes));
    let ended = true;
    const late = setTimeout(() => ((ended = false), socket.destroy()), HELD_MS);
    return new Promise((done) => socket.once("close", () => (clearTimeout(late), done(ended))));
  };
  const ended = await Promise.all(Array.from({ length: HELD }, one));
  expect(ended.every(Boolean), `${ended.filter((one) => !one).length} of ${HELD} were still open after ${HELD_MS} ms`);
}

/** An application that takes connections and reads nothing. */
export async function startDeaf() {
  const server = createServer({ pauseOnConnect: true }, (socket) => socket.on("error", () => {}));
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

/** Uploads over HTTP/2 to an application that reads nothing: each stream sends for as long as it may, until it is ended. */
export async function uploadToNobody(port, host, streams) {
  const session = connectSecure(`https://${host}:${port}`, {
    lookup: (_name, options, found) => found(null, options.all ? [{ address: "127.0.0.1", family: 4 }] : "127.0.0.1", 4),
    rejectUnauthorized: false,
  });
  session.on("error", () => {});
  const one = async () => {
    const stream = session.request({ ":method": "POST", ":path": "/" });
    let ended = true;
    const late = setTimeout(() => ((ended = false), stream.destroy()), HELD_MS);
    const more = () => {
      while (!stream.destroyed && stream.write(BODY));
    };
    stream.on("error", () => {}).on("drain", more).resume();
    more();
    await new Promise((done) => stream.once("close", done));
    clearTimeout(late);
    return ended;
  };
  const ended = await Promise.all(Array.from({ length: streams }, one));
  session.destroy();
  expect(ended.every(Boolean), `an upload that nobody takes was still open after ${HELD_MS} ms`);
}

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const forged = (alg, kid) => `${encoded({ alg, kid, typ: "logout+jwt" })}.${encoded({ iss: "x", aud: "x", x: "x".repeat(4000) })}.${"A".repeat(342)}`;

/** Posts what is no message of a provider, each time another; every one must be refused. */
export async function postJunk(port, host, turn) {
  const tokens = [forged("none", "1"), forged("RS256", `key-${turn}`), "x".repeat(20_000), ".".repeat(5000), "x".repeat(400_000)];
  const token = tokens[turn % tokens.length];
  const origin = `http://${host}:${port}/.lychgate`;
  const [address, type, body] =
    turn % 2
      ? [`${origin}/events/set`, "application/secevent+jwt", token]
      : [`${origin}/backchannel-logout`, "application/x-www-form-urlencoded", `logout_token=${token}`];
  const { status } = await new Visitor().send(address, { method: "POST", headers: { "content-type": type }, body });
  expect(status >= 400 && status < 500, `${address} answered ${status} to ${token.slice(0, 40)}`);
}
