// Clients that attack with slowness, with connections, and with HTTP/2 that is none; others are served meanwhile.
//
//   node tests/system/abuse.mjs [--alone]
//
// slowhttptest's four modes beside each other (with --alone one after another), floods of HTTP/2 frames, connections that stop half-way, uploads
// that nobody takes, junk in place of providers' messages, no file descriptors left, and all of h2spec. Each `note` says how much memory the
// gateway had before and at the most, as the kernel counts it, and how many probes were answered while the attack went on.

import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { FLOODS, flood } from "./parts/floods.mjs";
import { freePort, listens, said, start, until, untilReady } from "./parts/program.mjs";
import { startProvider } from "./parts/provider.mjs";
import { target } from "./parts/setting.mjs";
import { HALVES, hold, postJunk, startDeaf, uploadToNobody } from "./parts/siege.mjs";
import { ask, certify, footprint, forgetPeak, limitFiles, oneConnection, openIdle, peak } from "./parts/wire.mjs";

const HOST = "catalogue.localhost";
const DEAF = "deaf.localhost";
/** Where the load balancer is that speaks PROXY. */
const BALANCER = "127.0.0.9";
const ATTACK_S = 20;
const CONNECTIONS = 200;
const PROBE_MS = 10_000;
const PROBES = 20;
const FLOODERS = 8;
const STREAMS = 4;
const ALONE = process.argv.includes("--alone");
/** What the slow clients may add to the gateway's memory, in KiB; a debug build is measured here. */
const SLOW_KIB = 160 * 1024;
/** The same for half-open connections and junk, and for a flood: a MiB for each connection, or as many as stand here. */
const FLOOD_KIB = FLOODERS * 1024;
const MIB_EACH = { "HTTP/2 uploads in single bytes": 16, "HTTP/2 streams left open": 2 };
/** Of uploads that nobody takes, 512 KiB wait of each, and 128 KiB for its request to the application. */
const UPLOADS_KIB = STREAMS * FLOOD_KIB;

const policy = (hosts, upstream, more = "") => `[app]
hosts = ${JSON.stringify(hosts)}
upstream = "${upstream}"
${more}

[login]

[[rules]]
access = "public"
`;

const url = (port, path) => `http://127.0.0.1:${port}${path}`;
const MODES = {
  "slow heads": (port) => ["-H", "-i", "2", "-u", url(port, "/h")],
  "slow bodies": (port) => ["-B", "-i", "2", "-s", "8192", "-u", url(port, "/b")],
  "slow reading": (port) => ["-X", "-w", "1", "-y", "16", "-n", "2", "-z", "8", "-k", "3", "-u", url(port, "/x")],
  "many ranges": (port) => ["-R", "-a", "5", "-b", "3000", "-t", "HEAD", "-u", url(port, "/r")],
};

/** nginx, which answers with much under /x, so that there is something to read slowly, and reads bodies whole under /b. */
function startApplication(folder, port) {
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files", "x"), Buffer.alloc(1024 * 1024, 7));
  for (const name of ["h", "r", "probe"]) writeFileSync(join(folder, "files", name), "hello");
  const text = `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr crit;
${process.getuid() === 0 ? "user root;" : ""}
events { worker_connections 2048; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
    location / { index probe; }
    location /b { proxy_pass http://127.0.0.1:${port}/probe; proxy_method GET; }
  }
}
`;
  writeFileSync(join(folder, "nginx.conf"), text);
  return start("nginx", "nginx", ["-p", folder, "-c", "nginx.conf"], {
    log: join(folder, "nginx.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

function attack(folder, name, parameters) {
  const all = [...parameters, "-c", String(CONNECTIONS), "-r", "50", "-l", String(ATTACK_S), "-p", "3", "-v", "1"];
  return start(name, "slowhttptest", all, { log: join(folder, `${name.replace(" ", "-")}.log`) });
}

function h2spec(parameters) {
  const program = join(target, "tools", "bin", "h2spec");
  return new Promise((done) => {
    execFile(program, parameters, { timeout: 180_000 }, (error, out) => done(error && !out ? String(error) : out));
  });
}

script(async () => {
  const here = await plan("abuse");
  const [secure, behind] = [await freePort(), await freePort()];
  const application = await freePort();
  const nginx = startApplication(here.folder, application);
  await untilReady(nginx, () => listens(application));
  const { certificate, key } = certify(here.folder, HOST);
  const provider = await startProvider({ redirects: [`http://${HOST}:${here.port}/.lychgate/callback`] });
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    policies: {
      "catalogue.toml": policy([HOST, "127.0.0.1", "localhost"], `http://127.0.0.1:${application}`),
      "deaf.toml": policy([DEAF], await startDeaf(), `timeouts = { first_byte = "5s" }`),
    },
    provider: "events = {}",
    top: `trusted_proxies = ["${BALANCER}"]`,
    extra: `[[listeners]]
address = "127.0.0.1:${secure}"
tls = { certificate = "${certificate}", key = "${key}" }

[[listeners]]
address = "127.0.0.1:${behind}"
proxy_protocol = true

[limits]
connections_per_address = 5000

[timeouts]
handshake = "5s"
first_byte = "5s"
header = "5s"
body_stall = "5s"
`,
  });
  /** Asks while the attacks go on; each probe must be answered, and memory stay below its bound. */
  const probeWhile = async (name, goesOn, mostKib) => {
    const first = footprint(gateway).resident;
    forgetPeak(gateway);
    let probes = 0;
    while (goesOn(probes)) {
      const page = await ask(here.port, { host: HOST, path: "/probe", limit: PROBE_MS });
      expectSame(`probe ${probes} (${page.error})`, page.status, 200);
      probes += 1;
      await new Promise((done) => setTimeout(done, 50));
    }
    const most = peak(gateway);
    console.log(`note ${name}: ${probes} probes; ${first} KiB before, ${most} KiB at the most`);
    expect(most - first < mostKib, `memory grew by ${most - first} KiB, ${mostKib} are allowed`);
  };

  /** Begins `one` anew as often as it ends, several beside each other, until enough probes were answered meanwhile. */
  const again = async (name, one, mostKib, beside = FLOODERS) => {
    let [over, begun, ended] = [false, 0, 0];
    const keepOn = async () => {
      do {
        await one(begun++);
        ended += 1;
      } while (!over);
    };
    const all = Promise.all(Array.from({ length: beside }, keepOn));
    const probes = probeWhile(name, (probes) => probes < PROBES || ended < beside, mostKib);
    await Promise.race([all, probes]).finally(() => (over = true));
    await all;
    console.log(`note ${name}: begun ${begun} times`);
  };

  const attackWith = async (modes) => {
    const attacks = modes.map((name) => attack(here.folder, name, MODES[name](here.port)));
    await probeWhile(modes.join(", "), () => attacks.some(({ ended }) => !ended), SLOW_KIB);
    for (const one of attacks) {
      expect(/ended with 0/.test(one.ended), `${one.name} ${one.ended}: ${said(one).slice(-400)}`);
    }
  };

  if (ALONE) {
    for (const name of Object.keys(MODES)) await check(`slowhttptest: ${name}`, () => attackWith([name]));
  } else {
    await check("D01 slowhttptest: while it runs in four modes at once, every probe is answered", () =>
      attackWith(Object.keys(MODES)));
  }

  await check("D01 slowhttptest: what it opened is closed", () =>
    until("the end of all connections", async () => /^lychgate_connections 0$/m.test(await gateway.metrics())));

  for (const [name, next] of Object.entries(FLOODS)) {
    await check(`D02 ${name}: the connections end, every probe is answered, and memory stays`, () =>
      again(
        name,
        async () => {
          const { closed, turn } = await flood(secure, HOST, next);
          expect(closed, `a connection still took frames after ${turn}`);
        },
        FLOOD_KIB * (MIB_EACH[name] ?? 1),
      ));
  }

  for (const [name, half] of Object.entries(HALVES)) {
    await check(`D01 ${name}: the connections end, every probe is answered, and memory stays`, () =>
      again(name, () => hold(half({ secure, behind, host: HOST, from: BALANCER }), HOST), FLOOD_KIB, 1));
  }

  await check("D02 uploads that nobody takes: they end, every probe is answered, and memory is bounded", () =>
    again("uploads that nobody takes", () => uploadToNobody(secure, DEAF, STREAMS), UPLOADS_KIB));

  await check("junk in place of a provider's messages: all of it is refused, every probe is answered, and memory stays", () =>
    again("junk messages", (turn) => postJunk(here.port, HOST, turn), FLOOD_KIB));

  await check("D04 no descriptors left: open connections are served, new ones are accepted when some are free again", async () => {
    const kept = oneConnection();
    const served = () => ask(here.port, { host: HOST, agent: kept });
    expectSame("the status before", (await served()).status, 200);
    limitFiles(gateway, footprint(gateway).files + 20);
    const idle = await openIdle(here.port, 200);
    await until("a gateway without descriptors", () => said(gateway).includes("cannot accept connections"));
    for (let turn = 0; turn < 20; turn++) expectSame("the status meanwhile", (await served()).status, 200);
    const late = ask(here.port, { host: HOST, limit: 20_000 });
    idle.forEach((socket) => socket.destroy());
    expectSame("the status of one that waited", (await late).status, 200);
    await until("the end of it in the log", () => said(gateway).includes("connections are accepted again"));
    const lines = said(gateway).split("\n").filter((line) => line.includes("cannot accept connections"));
    expect(lines.length <= 8, `${lines.length} lines tell of it`);
    limitFiles(gateway, 1024);
    expectSame("the status after", (await ask(here.port, { host: HOST })).status, 200);
    kept.destroy();
  });

  await check("D04 no descriptors left: a request that needs a new one to the application is answered", async () => {
    const agents = Array.from({ length: 24 }, oneConnection);
    const all = (limit) => Promise.all(agents.map((agent) => ask(here.port, { host: HOST, agent, limit })));
    for (const page of await all()) expectSame("the status before", page.status, 200);
    limitFiles(gateway, footprint(gateway).files);
    // All at once they need more connections to the application than there are.
    for (const page of await all(10_000)) {
      expect([200, 502, 503].includes(page.status), `it was answered ${page.status ?? page.error}`);
    }
    limitFiles(gateway, 1024);
    for (const page of await all()) expectSame("the status after", page.status, 200);
    agents.forEach((agent) => agent.destroy());
  });

  await check("H03 h2spec: every case holds over TLS, the strict one too", async () => {
    const out = await h2spec(["-S", "-h", "127.0.0.1", "-p", String(secure), "-t", "-k", "-o", "5"]);
    const summary = out.match(/(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/);
    expect(summary, out.slice(-600));
    const [, tests, passed] = summary.map(Number);
    console.log(`note ${summary[0]}`);
    expect(tests >= 146 && passed === tests, `${summary[0]}\n${out.slice(out.indexOf("Failures:"))}`);
  });

  await check("the gateway serves after all this", async () => {
    expectSame("the status", (await ask(here.port, { host: HOST })).status, 200);
  });
});
