// Hours of mixed load in short: memory and descriptors must stay level (D06).
//
//   node tests/system/soak.mjs [--minutes N]
//
// 10 minutes unless told otherwise; an hour before a release. Sign-ins, pages of signed-in people, uploads, WebSockets, HTTP/2, requests that
// are broken off, and reloads, all at once and at a moderate pace. Every few seconds the gateway's resident memory and its open files are
// noted. After a warm-up of a quarter of the time, a line is laid through each: its slope over the rest must not exceed what is
// allowed, and nothing may have been answered wrongly.

import { connect as connectSecure } from "node:http2";
import { Agent, createServer, request } from "node:http";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { freePort } from "./parts/program.mjs";
import { signIn, startProvider } from "./parts/provider.mjs";
import { Visitor } from "./parts/visitor.mjs";
import { certify, footprint } from "./parts/wire.mjs";

const HOST = "royalty.localhost";
const MINUTES = Number(process.argv[process.argv.indexOf("--minutes") + 1]) || 10;
const SAMPLE_MS = 2000;
/** How long one turn of a load may take; what takes longer hangs, and is told with what it was doing. */
const LONGEST_TURN_MS = 60_000;
/** What memory may have grown by over the measured time, and descriptors. */
const MOST_KIB = 8 * 1024;
const MOST_FILES = 24;

const policy = (upstream, turn) => `# turn ${turn}
[app]
hosts = ["${HOST}"]
upstream = "${upstream}"

[login]

[headers]
X-Remote-User = "\${user.preferred_username}"

[[rules]]
paths = ["/public/**"]
access = "public"

[[rules]]
allow = "'staff' in user.groups"
`;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Echoes bodies' digests, answers slowly under /slow, and echoes what comes through WebSocket tunnels. */
async function startApplication() {
  // An application that closes idle connections may do so under an upload that is just beginning, which nobody can send again.
  const server = createServer({ keepAliveTimeout: MINUTES * 60_000 + 60_000 }, (incoming, answer) => {
    const digest = createHash("sha256");
    incoming.on("data", (part) => digest.update(part)).on("error", () => {});
    incoming.on("end", () => {
      const text = `${incoming.headers["x-remote-user"] ?? ""} ${digest.digest("hex")} ${"x".repeat(2000)}`;
      if (incoming.url.endsWith("/slow")) setTimeout(() => answer.end(text), 300);
      else answer.end(text);
    });
  });
  server.on("upgrade", (incoming, socket) => {
    const accepted = createHash("sha1").update(`${incoming.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.on("error", () => {});
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted.digest("base64")}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

function ask(port, { path, method = "GET", cookie, body, agent, headers = {} }) {
  return new Promise((done, failed) => {
    const all = { host: `${HOST}:${port}`, ...(cookie && { cookie }), ...headers };
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

/** One turn of a load: what it is doing, and how to look at the state of that. */
class Turn {
  constructor() {
    this.at("began");
  }

  /** Notes what comes next; `look` gives its state should it hang. */
  at(step, look = () => ({})) {
    Object.assign(this, { step, look, since: Date.now() });
  }

  /** What `work` gives, or an error that says where it hangs. */
  async within(work) {
    let timer;
    const hangs = new Promise((_, failed) => {
      timer = setTimeout(() => failed(new Error(this.state())), LONGEST_TURN_MS);
    });
    return await Promise.race([work, hangs]).finally(() => clearTimeout(timer));
  }

  state() {
    const waited = ((Date.now() - this.since) / 1000).toFixed(1);
    return `hangs: ${this.step}, for ${waited} s: ${JSON.stringify(this.look())}`;
  }
}

/** What is told of a socket that hangs. */
function stateOf(socket) {
  if (!socket) return "no socket";
  const { readyState, destroyed, bytesRead, bytesWritten, writableLength, readableEnded, writableFinished, localPort } = socket;
  return { readyState, destroyed, bytesRead, bytesWritten, writableLength, readableEnded, writableFinished, localPort };
}

const cookieOf = (visitor) => [...visitor.cookies(HOST)].map(([name, value]) => `${name}=${value}`).join("; ");

/** Each kind of load: one turn of it. `site` is what they share; `turn` is told what it is doing. */
const LOADS = {
  async signIns({ origin }, turn) {
    const visitor = new Visitor();
    turn.at("signing in", () => ({ cookies: [...visitor.cookies(HOST).keys()] }));
    await signIn(visitor, `${origin}/page`, "ada");
    await pause(250);
  },
  async pages({ port, cookie, agent, visitor }, turn) {
    turn.at("a page");
    const { status, text, headers } = await ask(port, { path: "/page", cookie, agent });
    // As browsers do: a session's cookie is written anew while it is used, and the old one ends after an hour.
    visitor.keep(HOST, headers);
    expect(status === 200 && text.startsWith("ada "), `a page: ${status} ${text.slice(0, 80)}`);
    await pause(10);
  },
  async uploads({ port, cookie, agent }, turn) {
    turn.at("an upload");
    const body = Buffer.alloc(100_000, 7);
    const { status, text } = await ask(port, { path: "/up", method: "POST", cookie, body, agent });
    const digest = createHash("sha256").update(body).digest("hex");
    expect(status === 200 && text.includes(digest), `an upload: ${status}`);
    await pause(20);
  },
  async strangers({ port }, turn) {
    turn.at("a stranger's page");
    const { status } = await ask(port, { path: "/page", agent: false, headers: { accept: "application/json" } });
    expect(status === 401, `a stranger: ${status}`);
    await pause(20);
  },
  async brokenOff({ port, cookie }, turn) {
    turn.at("a slow page beside one that is broken off");
    const broken = ask(port, { path: "/slow", cookie, agent: new Agent() });
    const asked = request({ host: "127.0.0.1", port, path: "/slow", agent: false, headers: { host: HOST, cookie } });
    asked.on("error", () => {}).end();
    await pause(50);
    asked.destroy();
    await broken;
  },
  async sockets({ port, cookie }, turn) {
    const key = Buffer.alloc(16, 1).toString("base64");
    const headers = { host: HOST, cookie, connection: "Upgrade", upgrade: "websocket" };
    Object.assign(headers, { "sec-websocket-key": key, "sec-websocket-version": "13", origin: `http://${HOST}:${port}` });
    headers.host = `${HOST}:${port}`;
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
  async multiplexed({ secure, cookie }, turn) {
    const session = connectSecure(`https://${HOST}:${secure}`, {
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
  async reloads({ gateway, file, upstream, turns }, turn) {
    turn.at("a reload");
    turns.reloads += 1;
    writeFileSync(file, policy(upstream, turns.reloads));
    gateway.child.kill("SIGHUP");
    await pause(5000);
  },
};

/** The slope of the line nearest to the points, times the length of their time. */
function growth(samples, value) {
  const mean = (of) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [time, level] = [mean((sample) => sample.at), mean(value)];
  const across = mean((sample) => (sample.at - time) * (value(sample) - level));
  const along = mean((sample) => (sample.at - time) ** 2);
  return (across / along) * (samples.at(-1).at - samples[0].at);
}

script(async () => {
  const here = await plan("soak");
  const secure = await freePort();
  const { certificate, key } = certify(here.folder, HOST);
  const origin = `http://${HOST}:${here.port}`;
  const provider = await startProvider({ redirects: [`${origin}/.lychgate/callback`] });
  const upstream = await startApplication();
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    policies: { "royalty.toml": policy(upstream, 0) },
    extra: `[[listeners]]
address = "127.0.0.1:${secure}"
tls = { certificate = "${certificate}", key = "${key}" }

[log]
access = { file = "${join(here.folder, "access.log")}" }
`,
  });
  const visitor = new Visitor();
  await signIn(visitor, `${origin}/page`, "ada");
  const turns = Object.fromEntries(Object.keys(LOADS).map((name) => [name, 0]));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const file = join(here.folder, "policies", "royalty.toml");
  const site = {
    ...{ ...here, origin, secure, agent, upstream, gateway, file, turns, visitor },
    get cookie() {
      return cookieOf(visitor);
    },
  };
  const end = Date.now() + MINUTES * 60_000;
  let broken;
  const run = async (name) => {
    while (Date.now() < end && !broken) {
      const turn = new Turn();
      await turn.within(LOADS[name](site, turn)).catch((error) => (broken ??= new Error(`${name}: ${error.message}`)));
      if (name !== "reloads") turns[name] += 1;
    }
  };

  await check(`soak: ${MINUTES} minutes of mixed load, all of it answered rightly`, async () => {
    const samples = [];
    const began = Date.now();
    const running = Promise.all([...Object.keys(LOADS), "pages", "pages"].map(run));
    while (Date.now() < end && !broken) {
      await pause(SAMPLE_MS);
      samples.push({ at: (Date.now() - began) / 1000, ...footprint(gateway) });
    }
    // Each ends within its longest turn, whatever the others do.
    await running;
    if (broken) throw broken;
    site.samples = samples.filter(({ at }) => at > MINUTES * 15);
    console.log(`note turns ${JSON.stringify(turns)}`);
    expect(Object.values(turns).every((count) => count > 0), `something never ran: ${JSON.stringify(turns)}`);
  });

  const level = (name, unit, most) => {
    const [first, last] = [site.samples[0], site.samples.at(-1)];
    const grown = growth(site.samples, (sample) => sample[name]);
    const peak = Math.max(...site.samples.map((sample) => sample[name]));
    console.log(`note ${name}: ${first[name]} to ${last[name]} ${unit}, ${peak} at the most, by the line ${grown.toFixed(0)}`);
    expect(grown <= most, `${name} grew by ${grown.toFixed(0)} ${unit}, ${most} are allowed`);
  };

  await check("D06 soak: memory is level", () => level("resident", "KiB", MOST_KIB));
  await check("D06 soak: descriptors are level", () => level("files", "files", MOST_FILES));
  agent.destroy();
});
