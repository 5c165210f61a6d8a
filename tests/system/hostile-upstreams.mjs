// Servers that read targets and headers differently, and people who try every spelling of both (P02, P03, S01-S04).
//
// What the same bytes do when they are sent to a server directly is shown first, so that the spellings are known to be
// dangerous. Each server stands behind the gateway twice: as it is by default, and with all switches of its paths turned to keep.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect as openHttp2 } from "node:http2";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { aliases, folded, listed, spellings } from "./parts/hostile.mjs";
import { freePort, listens, untilReady } from "./parts/program.mjs";
import { signIn, startProvider } from "./parts/provider.mjs";
import { exchange, forEach, head, statusOf } from "./parts/raw.mjs";
import { SECRET, SERVERS } from "./parts/servers.mjs";
import { Visitor } from "./parts/visitor.mjs";

const PAIRS = 250;
const IN_ONE_REQUEST = 40;
const PRESENT = "X-Remote-User";
const ABSENT = "X-Remote-Email";
const KEEP = `path_parameters = "keep"\nencoded_slash = "keep"\nforged_headers = "reject"\n`;

const policy = (host, { port, bases, ignoresCase }, switches) => `[app]
hosts = ["${host}"]
upstream = "http://127.0.0.1:${port}"
${ignoresCase ? "ignore_case = true" : ""}
${switches}
[login]

[headers]
${PRESENT} = "\${user.preferred_username}"
${ABSENT} = "\${user.email_of_work}"

[[rules]]
paths = ${JSON.stringify(bases.map((base) => `${base}/admin/**`))}
allow = "'royalty-admins' in user.groups"

[[rules]]
paths = ${JSON.stringify(bases.map((base) => `${base}/public/**`))}
access = "public"

[[rules]]
allow = "'staff' in user.groups"
`;

/** The lines of an answer that say what the server believes of one header. */
function believed(text, name) {
  const lines = text.split(/\r?\n/).map((line) => line.split(/=(.*)/s));
  const fold = (found) => folded(found).replace(/^HTTP_/, "");
  return lines.filter(([found]) => fold(found) === folded(name)).map(([, value]) => value);
}

/** Forged fields in batches, each batch as it is, doubled, and named in `Connection`. */
function batches(name) {
  const all = aliases(name);
  const found = [];
  for (let at = 0; at < all.length; at += IN_ONE_REQUEST) {
    const lines = all.slice(at, at + IN_ONE_REQUEST).map((alias, index) => `${alias}: forged-${at + index}`);
    const names = all.slice(at, at + IN_ONE_REQUEST).filter((alias) => folded(alias) === folded(name));
    found.push(lines, [...lines, ...lines], [`Connection: ${names.join(", ")}`, ...lines]);
  }
  return found;
}

const expectNothingForged = (text, what) => {
  for (const name of [PRESENT, ABSENT, "Remote-User"]) {
    const wrong = believed(text, name).filter((value) => value.includes("forged"));
    expect(wrong.length === 0, `${what}: told ${name}=${wrong}`);
  }
};

async function checkNames(server, gateway, cookie) {
  const { title, port, bases, page, host } = server;
  const [own, open] = ["private", "public"].map((folder) => `${bases[0]}/${folder}/${page}`);
  const names = [PRESENT, ABSENT];
  const alike = aliases(PRESENT).filter((alias) => folded(alias) === folded(PRESENT));
  const spelled = alike.filter((alias, index) => alias.toUpperCase() === PRESENT.toUpperCase() || index % 6 === 0);

  await check(`S01 ${title}: forged names are believed when they are sent to it directly`, async () => {
    const answers = await forEach(spelled, (alias) => exchange(port, head("localhost", `GET ${own}`, [`${alias}: forged`])));
    const taken = answers.filter((answer) => believed(answer, PRESENT).includes("forged")).length;
    console.log(`${title}: ${taken} of ${spelled.length} names are believed`);
    expect(taken >= server.names, `only ${taken} of ${spelled.length} names were`);
  });

  await check(`S01 S03 S04 ${title}: no spelling of a name is believed on a path of the person`, async () => {
    for (const name of names) {
      const requests = batches(name).map((lines) => head(host, `GET ${own}`, [`Cookie: ${cookie}`, ...lines]));
      for (const answer of await forEach(requests, (bytes) => exchange(gateway, bytes))) {
        expectSame("the status", statusOf(answer), 200);
        expectNothingForged(answer, own);
        expectSame(PRESENT, believed(answer, PRESENT), ["ada"]);
        expectSame(ABSENT, believed(answer, ABSENT), []);
      }
    }
  });

  await check(`S02 ${title}: nor on a public path, where nobody is told of`, async () => {
    for (const name of names) {
      const requests = batches(name).map((lines) => head(host, `GET ${open}`, [`Cookie: ${cookie}`, ...lines]));
      for (const answer of await forEach(requests, (bytes) => exchange(gateway, bytes))) {
        expectSame("the status", statusOf(answer), 200);
        expectNothingForged(answer, open);
        for (const one of names) expectSame(one, believed(answer, one), []);
      }
    }
  });

  await check(`S01 ${title}: no name of the built-in list arrives`, async () => {
    const requests = listed().map((name) => head(host, `GET ${own}`, [`Cookie: ${cookie}`, `${name}: forged`]));
    const answers = await forEach(requests, (bytes) => exchange(gateway, bytes));
    for (const [index, answer] of answers.entries()) {
      expect(statusOf(answer) === 200 && !answer.includes("forged"), `${listed()[index]}: ${answer}`);
    }
  });

  await check(`S04 ${title}: trailers tell it nothing`, async () => {
    const lines = [`Cookie: ${cookie}`, "Transfer-Encoding: chunked", `Trailer: ${PRESENT}`];
    const trailers = [PRESENT, "X_Remote_User", ABSENT, "x.remote.email"].map((name) => `${name}: forged\r\n`).join("");
    const answer = await exchange(gateway, `${head(host, `POST ${own}`, lines)}1\r\na\r\n0\r\n${trailers}\r\n`);
    expectSame("the status", statusOf(answer), 200);
    expectNothingForged(answer, own);
    expectSame(PRESENT, believed(answer, PRESENT), ["ada"]);
  });
}

function overHttp2(host, port) {
  const createConnection = () =>
    connectTls({ host: "127.0.0.1", port, servername: host, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  return openHttp2(`https://${host}:${port}`, { createConnection });
}

/** The answer to a request over HTTP/2: status and text. */
function askHttp2(session, path, fields, trailers) {
  return new Promise((done, failed) => {
    const line = { ":method": trailers ? "POST" : "GET", ":path": path };
    const asked = session.request({ ...line, ...fields }, { waitForTrailers: Boolean(trailers) });
    let [status, text] = [0, ""];
    asked.on("response", (answer) => (status = answer[":status"])).on("error", failed);
    asked.on("wantTrailers", () => asked.sendTrailers(trailers));
    asked.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => done({ status, text }));
    asked.end(trailers ? "a" : undefined);
  });
}

async function checkNamesOfHttp2(server, tlsPort, cookie) {
  const { title, bases, page, host } = server;
  const session = overHttp2(host, tlsPort);
  await check(`S01 S02 S04 ${title}: nor over HTTP/2, on either path, nor in its trailers`, async () => {
    for (const [folder, user] of [["private", ["ada"]], ["public", []]]) {
      const path = `${bases[0]}/${folder}/${page}`;
      for (const name of [PRESENT, ABSENT]) {
        const all = [...new Set(aliases(name).map((alias) => alias.toLowerCase()))];
        for (let at = 0; at < all.length; at += IN_ONE_REQUEST) {
          const fields = Object.fromEntries(all.slice(at, at + IN_ONE_REQUEST).map((alias) => [alias, "forged"]));
          const { status, text } = await askHttp2(session, path, { cookie, ...fields });
          expectSame("the status", status, 200);
          expectNothingForged(text, path);
          expectSame(PRESENT, believed(text, PRESENT), user);
        }
      }
      const trailers = { [PRESENT.toLowerCase()]: "forged", x_remote_user: "forged" };
      const { status, text } = await askHttp2(session, path, { cookie }, trailers);
      expectSame("the status", status, 200);
      expectNothingForged(text, path);
    }
  });
  session.destroy();
}

/** Where an application refuses forged headers, each of them is refused, on either path and over HTTP/2. */
async function checkRejected(server, gateway, tlsPort, cookie) {
  const all = aliases(PRESENT).filter((_, index) => index % 3 === 0);
  await check(`S01 S02 ${server.title}: where it wants them refused, every spelling is`, async () => {
    for (const folder of ["private", "public"]) {
      const line = `GET ${server.bases[0]}/${folder}/${server.page}`;
      const ask = (alias) => head(server.keeping, line, [`Cookie: ${cookie}`, `${alias}: forged`]);
      const answers = await forEach(all, (alias) => exchange(gateway, ask(alias)));
      for (const [index, answer] of answers.entries()) {
        const expected = folded(all[index]) === folded(PRESENT) ? 400 : 200;
        expect(statusOf(answer) === expected, `${all[index]}: ${answer}`);
      }
    }
    const session = overHttp2(server.keeping, tlsPort);
    for (const alias of new Set(all.map((one) => one.toLowerCase()))) {
      const { status } = await askHttp2(session, `${server.bases[0]}/public/${server.page}`, { [alias]: "forged" });
      expectSame(`the status of ${alias}`, status, folded(alias) === folded(PRESENT) ? 400 : 200);
    }
    session.destroy();
  });
}

async function checkPaths(server, gateway, { ada, grace }) {
  const { title, port, bases, page } = server;
  for (const base of bases) {
    const targets = spellings(base, page, PAIRS);
    const at = base ? ` at ${base}` : "";
    let dangerous = [];
    const arrived = [];

    await check(`P02 ${title}${at}: many spellings lead to what is protected when they are sent to it directly`, async () => {
      const answers = await forEach(targets, (target) => exchange(port, head("localhost", `GET ${target}`)));
      dangerous = targets.filter((_, index) => answers[index].includes(SECRET));
      expect(targets.length > 400, `only ${targets.length} spellings`);
      console.log(`${title}${at}: ${dangerous.length} of ${targets.length} spellings are dangerous`);
      expect(dangerous.length >= server.ways, `only ${dangerous.length} of ${targets.length}: ${dangerous.join(" ")}`);
    });

    for (const [host, how] of [[server.host, "by default"], [server.keeping, "with everything kept"]]) {
      await check(`P02 P03 ${title}${at}: ${how}, no spelling leads somebody there who may not see it`, async () => {
        // Whatever nobody may see, she may: what is public is so for everybody.
        const cookie = [`Cookie: ${ada.get(host)}`];
        const answers = await forEach(targets, (target) => exchange(gateway, head(host, `GET ${target}`, cookie)));
        const led = targets.filter((_, index) => answers[index].includes(SECRET));
        expect(led.length === 0, led.join(" "));
        const unanswered = targets.filter((_, index) => statusOf(answers[index]) === 0);
        expect(unanswered.length === 0, `no answer to ${unanswered.join(" ")}`);
      });

      await check(`P02 ${title}${at}: ${how}, whoever may see it gets there by spellings that are left to her`, async () => {
        const cookie = [`Cookie: ${grace.get(host)}`];
        const answers = await forEach(dangerous, (target) => exchange(gateway, head(host, `GET ${target}`, cookie)));
        arrived.push(dangerous.filter((_, index) => answers[index].includes(SECRET)));
        const [alike, kept = alike] = arrived;
        expect(alike.length >= 50, `only ${alike.length}: ${alike.join(" ")}`);
        const lost = alike.filter((target) => !kept.includes(target));
        expect(lost.length === 0, `what is kept takes away ${lost.join(" ")}`);
        console.log(`${title}${at}: ${how}, ${kept.length} of ${dangerous.length} spellings lead there whoever may see it`);
        expect(kept === alike || kept.length > alike.length, `what is kept adds nothing to ${alike.length} spellings`);
      });
    }
  }

  await check(`P06 ${title}: HEAD is decided as GET, and no field makes another method of one`, async () => {
    const target = `${bases[0]}/admin/${page}`;
    const overrides = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"];
    for (const method of ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND", "get", "GETS"]) {
      for (const lines of [[], overrides.map((name) => `${name}: GET`)]) {
        const bytes = head(server.host, `${method} ${target}`, [`Cookie: ${ada.get(server.host)}`, ...lines]);
        expectSame(`the status of ${method}`, statusOf(await exchange(gateway, bytes)), 403);
      }
    }
    const bytes = head(server.host, `PROPFIND ${bases[0]}/public/${page}`, overrides.map((name) => `${name}: GET`));
    expectSame("the status of PROPFIND", statusOf(await exchange(gateway, bytes)), 403);
  });
}

function certificate(folder) {
  const [key, certificate] = ["tls.key", "tls.pem"].map((name) => join(folder, name));
  const options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
  execFileSync("openssl", ["req", ...options, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  expect(readFileSync(certificate, "utf8").includes("BEGIN CERTIFICATE"), "no certificate");
}

script(async () => {
  const here = await plan("hostile-upstreams");
  for (const server of SERVERS) {
    server.port = await freePort();
    server.program = server.start(here.folder, server.port);
    server.host = `${server.name}.localhost`;
    server.keeping = `${server.name}-keeping.localhost`;
  }
  for (const { program, port } of SERVERS) await untilReady(program, () => listens(port), 60_000);

  const tlsPort = await freePort();
  const hosts = SERVERS.flatMap(({ host, keeping }) => [host, keeping]);
  const clear = hosts.map((host) => `http://${host}:${here.port}`);
  const overTls = SERVERS.map(({ host }) => `https://${host}:${tlsPort}`);
  const provider = await startProvider({ redirects: [...clear, ...overTls].map((origin) => `${origin}/.lychgate/callback`) });
  certificate(here.folder);
  const listener = `[[listeners]]\naddress = "127.0.0.1:${tlsPort}"\ntls = { certificate = "tls.pem", key = "tls.key" }\n`;
  const policies = Object.fromEntries(
    SERVERS.flatMap((server) => [
      [`${server.name}.toml`, policy(server.host, server, "")],
      [`${server.name}-keeping.toml`, policy(server.keeping, server, KEEP)],
    ]),
  );
  await startGateway(here, { issuer: provider.issuer, policies, extra: listener });

  /** Signs somebody in everywhere; their `Cookie` lines by host. */
  const everywhere = async (login, all) => {
    const visitor = new Visitor();
    const cookies = new Map();
    await signIn(visitor, `${all[0]}/`, login);
    for (const origin of all) {
      await visitor.open(`${origin}/`);
      const { hostname } = new URL(origin);
      cookies.set(hostname, [...visitor.cookies(hostname)].map((pair) => pair.join("=")).join("; "));
    }
    return cookies;
  };
  const [ada, grace] = [await everywhere("ada", clear), await everywhere("grace", clear)];
  const adaOverTls = await everywhere("ada", overTls);

  for (const server of SERVERS) {
    await checkNames(server, here.port, ada.get(server.host));
    await checkNamesOfHttp2(server, tlsPort, adaOverTls.get(server.host));
    await checkPaths(server, here.port, { ada, grace });
  }
  await checkRejected(SERVERS[0], here.port, tlsPort, ada.get(SERVERS[0].keeping));
});
