// Loads of which every turn is served: people who sign in, read, write, refresh and sign out, and programs with tokens.
//
// Each is one turn. `site` is what they share: addresses, the policies' hosts, and who is signed in; `turn` is told what it is doing, for the
// case that it hangs.

import { connect as connectSecure } from "node:http2";
import { Agent, request } from "node:http";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { expect } from "./report.mjs";
import { accessToken, signIn, signOut } from "./provider.mjs";
import { until } from "./program.mjs";
import { stateOf } from "./turn.mjs";
import { Visitor } from "./visitor.mjs";

/** People whose sessions are refreshed, each at every visit: a visit a second, so each comes after a minute. */
const REFRESHED = 60;
const REFRESH_MS = 1000;
/** How often one access token is shown before a new one is asked for. */
const TOKEN_TURNS = 200;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const digest = (body) => createHash("sha256").update(body).digest("hex");

function ask(host, port, { path, method = "GET", cookie, body, agent, headers = {} }) {
  return new Promise((done, failed) => {
    const all = { host: `${host}:${port}`, ...(cookie && { cookie }), ...headers };
    if (body) all["content-length"] = body.length;
    const asked = request({ host: "127.0.0.1", port, path, method, agent, headers: all }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part)).on("error", failed);
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString() }));
    });
    asked.setTimeout(20_000, () => asked.destroy(new Error("no answer in 20 s")));
    asked.on("error", failed).end(body);
  });
}

const cookieOf = (visitor, host) => [...visitor.cookies(host)].map(([name, value]) => `${name}=${value}`).join("; ");

export const SERVED = {
  async signIns({ host, origin }, turn) {
    const visitor = new Visitor();
    turn.at("signing in", () => ({ cookies: [...visitor.cookies(host).keys()] }));
    await signIn(visitor, `${origin}/page`, "ada");
    await pause(250);
  },
  async pages({ host, port, visitor, agent }, turn) {
    turn.at("a page");
    const { status, text, headers } = await ask(host, port, { path: "/page", cookie: cookieOf(visitor, host), agent });
    // As browsers do: a session's cookie is written anew while it is used, and the old one ends after an hour.
    visitor.keep(host, headers);
    expect(status === 200 && text.startsWith("ada "), `a page: ${status} ${text.slice(0, 80)}`);
    await pause(10);
  },
  async uploads({ host, port, visitor, agent }, turn) {
    turn.at("an upload");
    const body = Buffer.alloc(100_000, 7);
    const { status, text } = await ask(host, port, { path: "/up", method: "POST", cookie: cookieOf(visitor, host), body, agent });
    expect(status === 200 && text.includes(digest(body)), `an upload: ${status}`);
    await pause(20);
  },
  async strangers({ host, port }, turn) {
    turn.at("a stranger's page");
    const { status } = await ask(host, port, { path: "/page", agent: false, headers: { accept: "application/json" } });
    expect(status === 401, `a stranger: ${status}`);
    await pause(20);
  },
  async brokenOff({ host, port, visitor }, turn) {
    const cookie = cookieOf(visitor, host);
    turn.at("a slow page beside one that is broken off");
    const broken = ask(host, port, { path: "/slow", cookie, agent: new Agent() });
    const asked = request({ host: "127.0.0.1", port, path: "/slow", agent: false, headers: { host, cookie } });
    asked.on("error", () => {}).end();
    await pause(50);
    asked.destroy();
    await broken;
  },
  async sockets({ host, port, visitor }, turn) {
    const key = Buffer.alloc(16, 1).toString("base64");
    const headers = { host: `${host}:${port}`, cookie: cookieOf(visitor, host), origin: `http://${host}:${port}` };
    Object.assign(headers, { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": key, "sec-websocket-version": "13" });
    const asked = request({ host: "127.0.0.1", port, path: "/socket", agent: false, headers });
    asked.end();
    turn.at("waiting for a tunnel", () => stateOf(asked.socket));
    const [answer, socket] = await Promise.race([
      once(asked, "upgrade"),
      once(asked, "response").then(([refused]) => {
        throw new Error(`a socket: ${refused.statusCode}`);
      }),
    ]);
    expect(answer.statusCode === 101, `a socket: ${answer.statusCode}`);
    socket.on("error", () => {});
    for (let count = 0; count < 10; count++) {
      turn.at(`waiting for the echo of message ${count}`, () => stateOf(socket));
      socket.write(`message ${count}`);
      const [echo] = await once(socket, "data");
      expect(echo.toString() === `message ${count}`, `a socket said ${echo}`);
    }
    socket.destroy();
    await pause(50);
  },
  async multiplexed({ host, secure, visitor }, turn) {
    const cookie = cookieOf(visitor, host);
    const session = connectSecure(`https://${host}:${secure}`, {
      lookup: (_name, options, found) => found(null, options.all ? [{ address: "127.0.0.1", family: 4 }] : "127.0.0.1", 4),
      rejectUnauthorized: false,
    });
    session.on("error", () => {});
    const open = new Map();
    const one = async (index) => {
      const stream = session.request({ ":path": index % 8 ? "/public/page" : "/public/slow", cookie });
      open.set(index, stream);
      stream.on("close", () => open.delete(index));
      if (index % 8 === 0) {
        stream.on("error", () => {});
        await pause(20);
        return stream.close(8);
      }
      stream.resume();
      // Both are awaited from the start: head and end can come in one piece.
      const [[head]] = await Promise.all([once(stream, "response"), once(stream, "end")]);
      expect(head[":status"] === 200, `HTTP/2: ${head[":status"]}`);
    };
    const look = () => ({
      session: { closed: session.closed, destroyed: session.destroyed, connecting: session.connecting },
      socket: session.destroyed ? "gone" : stateOf(session.socket),
      streams: [...open].map(([index, { id, closed, destroyed, rstCode, state }]) => ({ index, id, closed, destroyed, rstCode, state })),
    });
    for (let count = 0; count < 10; count++) {
      turn.at(`16 streams, time ${count}`, look);
      await Promise.all(Array.from({ length: 16 }, (_, index) => one(index)));
    }
    session.close();
    await pause(50);
  },
  /** Sessions whose claims are a minute old: each visit makes the gateway use a refresh token, and each token is good once. */
  async refreshes({ archives, people }, turn) {
    const known = people.length < REFRESHED ? undefined : people.shift();
    const visitor = known ?? new Visitor();
    turn.at("a visit that refreshes");
    const { status } = known ? await visitor.send(`${archives}/page`) : await signIn(visitor, `${archives}/page`, "ada");
    expect(status === 200, `a visit that refreshes: ${status}`);
    people.push(visitor);
    await pause(REFRESH_MS);
  },
  /** Out at the gateway and at the provider, whose message on the back channel ends the session in copied cookies. */
  async signOuts({ archives, provider }, turn) {
    const visitor = new Visitor();
    turn.at("signing in, to sign out");
    await signIn(visitor, `${archives}/page`, "grace");
    const cookie = cookieOf(visitor, new URL(archives).hostname);
    const told = provider.counts.messages;
    turn.at("signing out");
    await signOut(visitor, archives, provider.issuer);
    await until("the provider's message", () => provider.counts.messages > told);
    const { status } = await new Visitor().send(`${archives}/page`, { headers: { accept: "application/json", cookie } });
    expect(status === 401, `a copied cookie after signing out: ${status}`);
    await pause(1000);
  },
  /** A form that meets no session is kept in its page, and sent after the sign-in. */
  async forms({ origin }, turn) {
    const visitor = new Visitor();
    const body = `text=${"a".repeat(50_000)}`;
    const headers = { "content-type": "application/x-www-form-urlencoded", origin, "sec-fetch-site": "same-origin" };
    turn.at("a form without a session");
    const kept = await visitor.open(`${origin}/up`, { method: "POST", headers, body });
    expect(kept.status === 401, `a form without a session: ${kept.status}`);
    await signIn(visitor, `${origin}/page`, "grace");
    turn.at("sending the form");
    const sent = await visitor.submit(kept);
    expect(sent.status === 200 && sent.text.includes(digest(body)), `a kept form: ${sent.status} ${sent.text.slice(0, 80)}`);
    await pause(1000);
  },
  /** A program's access token, and the same one changed. */
  async tokens({ exports, provider, api, turns, shown }, turn) {
    turn.at("a token");
    if (turns.tokens % TOKEN_TURNS === 0) shown.token = await accessToken(provider.issuer, api);
    const send = async (token) => {
      const headers = { accept: "application/json", authorization: `Bearer ${token}` };
      return await new Visitor().send(`${exports}/page`, { headers });
    };
    const { status, text } = await send(shown.token);
    expect(status === 200 && text.startsWith("lychgate "), `a token: ${status} ${text.slice(0, 80)}`);
    turn.at("a token that was changed");
    const changed = await send(shown.token.replace(/.{20}$/, "A".repeat(20)));
    expect(changed.status === 401, `a token that was changed: ${changed.status}`);
    await pause(100);
  },
  async reloads({ gateway, policy, turns }, turn) {
    turn.at("a reload");
    writeFileSync(policy.file, policy.text(turns.reloads));
    gateway.child.kill("SIGHUP");
    await pause(5000);
  },
};
