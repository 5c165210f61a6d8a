// Hours of mixed load in short: memory and descriptors must stay level (D06).
//
//   node tests/system/soak.mjs [--minutes N]
//
// 10 minutes unless told otherwise; an hour before a release. What is served (parts/loads.mjs) and what is refused (parts/refusals.mjs), all
// at once and at a moderate pace. Every few seconds the gateway's own memory (without its program's pages) and its open files are noted. After
// a warm-up of a quarter of the time, a line is laid through each: what it grows by may not exceed what an hour is allowed, in proportion,
// and nothing may have been answered wrongly.

import { Agent, createServer } from "node:http";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { check, expect, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { SERVED } from "./parts/loads.mjs";
import { freePort } from "./parts/program.mjs";
import { signIn, startProvider } from "./parts/provider.mjs";
import { REFUSED } from "./parts/refusals.mjs";
import { Turn } from "./parts/turn.mjs";
import { Visitor } from "./parts/visitor.mjs";
import { certify, footprint } from "./parts/wire.mjs";

const [HOST, ARCHIVES, EXPORTS, COUNTED] = ["royalty", "archives", "exports", "counted"].map((name) => `${name}.localhost`);
const API = "https://exports.example/api";
const MINUTES = Number(process.argv[process.argv.indexOf("--minutes") + 1]) || 10;
const SAMPLE_MS = 2000;
const LOADS = { ...SERVED, ...REFUSED };
/** What an hour may add, and what a short run needs at the least, in which caches and lists still fill (1.2 to 1.6 MiB in ten minutes). */
const MEMORY = { value: "own", name: "memory", unit: "KiB", hour: 8 * 1024, least: 3 * 1024 };
const FILES = { value: "files", name: "files", unit: "files", hour: 24, least: 6 };

/** People sign in here; each reload writes the file anew. */
const royalty = (upstream, turn) => `# turn ${turn}
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

/** Sessions are refreshed here. The provider knows no names below `.localhost`: its messages come to the address itself. */
const archives = (upstream) => `[app]
hosts = ["${ARCHIVES}", "127.0.0.1"]
upstream = "${upstream}"

[login]

[session]
refresh = "1m"

[headers]
X-Remote-User = "\${user.preferred_username}"

[[rules]]
allow = "true"
`;

/** Programs come here, with access tokens. */
const exports = (upstream) => `[app]
hosts = ["${EXPORTS}"]
upstream = "${upstream}"

[bearer]
audience = "${API}"

[headers]
X-Remote-User = "\${user.sub}"

[[rules]]
allow = "true"
`;

/** Everybody may come here, but not often. */
const counted = (upstream) => `[app]
hosts = ["${COUNTED}"]
upstream = "${upstream}"

[limits]
rate = { per = "address", requests = 60, every = "1m", burst = 5 }

[[rules]]
access = "public"
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

/** The gateway with its provider and its application, and what the loads share. */
async function prepare(here) {
  const secure = await freePort();
  const { certificate, key } = certify(here.folder, HOST);
  const [origin, other] = [HOST, ARCHIVES].map((host) => `http://${host}:${here.port}`);
  const provider = await startProvider({
    redirects: [origin, other].map((each) => `${each}/.lychgate/callback`),
    afterLogout: [`${other}/.lychgate/signed-out`],
    backChannel: `http://127.0.0.1:${here.port}/.lychgate/backchannel-logout`,
    api: API,
  });
  const upstream = await startApplication();
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    policies: {
      "royalty.toml": royalty(upstream, 0),
      "archives.toml": archives(upstream),
      "exports.toml": exports(upstream),
      "counted.toml": counted(upstream),
    },
    extra: `[[listeners]]
address = "127.0.0.1:${secure}"
tls = { certificate = "${certificate}", key = "${key}" }

[limits.strangers]
requests = 1200
burst = 1000

[log]
access = { file = "${join(here.folder, "access.log")}" }
`,
  });
  const visitor = new Visitor();
  await signIn(visitor, `${origin}/page`, "ada");
  return {
    ...{ host: HOST, counted: COUNTED, port: here.port, secure, origin, archives: other, exports: `https://${EXPORTS}:${secure}` },
    ...{ gateway, provider, api: API, visitor, people: [], shown: {} },
    agent: new Agent({ keepAlive: true, maxSockets: 8 }),
    policy: { file: join(here.folder, "policies", "royalty.toml"), text: (turn) => royalty(upstream, turn) },
    turns: Object.fromEntries(Object.keys(LOADS).map((name) => [name, 0])),
    seen: { limited: 0, strangersLimited: 0 },
  };
}

/** The line nearest to the points: what it grows by over their time, and how far chance alone would carry that (the standard error). */
function line(samples, value) {
  const mean = (of) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [time, level] = [mean((sample) => sample.at), mean(value)];
  const along = mean((sample) => (sample.at - time) ** 2);
  const slope = mean((sample) => (sample.at - time) * (value(sample) - level)) / along;
  const rest = mean((sample) => (value(sample) - level - slope * (sample.at - time)) ** 2);
  const long = samples.at(-1).at - samples[0].at;
  return { grown: slope * long, chance: Math.sqrt(rest / along / samples.length) * long };
}

/** How many requests the gateway has counted. */
async function requests(gateway) {
  const lines = (await gateway.metrics()).matchAll(/^lychgate_requests_total\{.*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

script(async () => {
  const site = await prepare(await plan("soak"));
  const { gateway, provider, turns, seen } = site;
  const end = Date.now() + MINUTES * 60_000;
  const samples = [];
  let broken;
  const run = async (name) => {
    while (Date.now() < end && !broken) {
      const turn = new Turn();
      await turn.within(LOADS[name](site, turn)).catch((error) => (broken ??= new Error(`${name}: ${error.message}`)));
      turns[name] += 1;
    }
  };

  await check(`soak: ${MINUTES} minutes of mixed load, all of it answered rightly`, async () => {
    const began = Date.now();
    const running = Promise.all([...Object.keys(LOADS), "pages", "pages"].map(run));
    while (Date.now() < end && !broken) {
      await pause(SAMPLE_MS);
      samples.push({ at: (Date.now() - began) / 1000, ...footprint(gateway) });
    }
    // Each ends within its longest turn, whatever the others do.
    await running;
    if (broken) throw broken;
    const counts = { ...turns, ...seen, refreshed: provider.counts.refreshes, messages: provider.counts.messages };
    console.log(`note ${await requests(gateway)} requests; turns ${JSON.stringify(counts)}`);
    expect(Object.values(counts).every((count) => count > 0), "something never ran");
  });

  const level = ({ value, name, unit, hour, least }) => {
    const measured = samples.filter(({ at }) => at > MINUTES * 15);
    const of = (sample) => sample[value];
    const { grown, chance } = line(measured, of);
    const minutes = (measured.at(-1).at - measured[0].at) / 60;
    const most = Math.max(least, (hour * minutes) / 60);
    const [first, middle, last] = [0, Math.floor(measured.length / 2), -1].map((index) => of(measured.at(index)));
    const told = `${first}, ${middle}, ${last} ${unit} (begin, middle, end of ${minutes.toFixed(1)} minutes), ${Math.max(...measured.map(of))} at the most`;
    console.log(`note ${name}: ${of(samples[0])} at first; ${told}; by the line ${grown.toFixed(1)} +- ${chance.toFixed(1)}, allowed ${most.toFixed(0)}`);
    // Twice the standard error: what chance does is no growth.
    expect(grown - 2 * chance <= most, `${name} grew by ${grown.toFixed(0)} ${unit}, ${most.toFixed(0)} are allowed`);
  };

  await check("D06 soak: memory is level", () => level(MEMORY));
  await check("D06 soak: descriptors are level", () => level(FILES));
  site.agent.destroy();
});
