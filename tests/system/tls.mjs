// TLS towards clients, seen by programs that others wrote: testssl.sh examines the gateway, and OpenSSL shows it a client certificate.
//
// It is examined twice, with a certificate of each kind of key. Everything is on 127.0.0.1 and without names of the outer world. testssl.sh
// takes a minute or two.

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:tls";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { check, expect, script } from "./parts/report.mjs";
import { freePort, listens, start, until, untilReady } from "./parts/program.mjs";
import { freshFolder, gatewayProgram } from "./parts/setting.mjs";

const HOST = "gate.example";
const SCAN_LIMIT_MS = 360_000;
/** What testssl.sh looks at. */
const CHECKS = ["--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--header", "--vulnerable"];

/** What testssl.sh says of the OpenSSL that it runs with, not of the server: without GOST it cannot offer what no server here has. */
const OF_THE_TOOL = ["engine_problem"];

/** What must be found, and how. */
const REQUIRED = {
  SSLv2: "not offered",
  SSLv3: "not offered",
  TLS1: "not offered",
  TLS1_1: "not offered",
  TLS1_2: "offered",
  TLS1_3: "offered with final",
  ALPN_HTTP2: "h2",
  PFS: "offered",
  cipher_order: "server",
  cert_crlDistributionPoints: "http://servers.gate.example/",
  cipherlist_AVERAGE: "not offered",
  secure_renego: "supported",
  secure_client_renego: "not vulnerable",
  CRIME_TLS: "not vulnerable",
  BREACH: "not vulnerable",
  HSTS_time: "180 days",
  cert_chain_of_trust: "passed",
};

const run = promisify(execFile);

function openssl(folder, ...parameters) {
  return run("openssl", parameters, { cwd: folder });
}

/** An authority, and a certificate that it signs: `use` is `serverAuth` or `clientAuth`. */
async function authority(folder, name) {
  await openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  await openssl(
    folder,
    ...["req", "-x509", "-new", "-key", `${name}.key`, "-days", "3650", "-subj", `/CN=${name}`, "-out", `${name}.pem`],
    ...["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
  );
}

/** Keys of the two kinds that certificates have. */
const KEYS = {
  ecdsa: ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
  rsa: ["genrsa"],
};

async function certify(folder, signer, name, subject, use, { key = "ecdsa", file = name } = {}) {
  const extensions = [
    ...[`subjectAltName=DNS:${name}`, `extendedKeyUsage=${use}`, "basicConstraints=CA:FALSE"],
    ...["keyUsage=digitalSignature", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"],
    `crlDistributionPoints=URI:http://${signer}.gate.example/revoked.crl`,
  ];
  writeFileSync(join(folder, `${file}.ext`), extensions.join("\n"));
  await openssl(folder, ...KEYS[key], "-out", `${file}.key`);
  await openssl(folder, "req", "-new", "-key", `${file}.key`, "-subj", subject, "-out", `${file}.csr`);
  await openssl(
    folder,
    ...["x509", "-req", "-in", `${file}.csr`, "-CA", `${signer}.pem`, "-CAkey", `${signer}.key`, "-days", "90"],
    ...["-extfile", `${file}.ext`, "-set_serial", "0x7094db046d5cd81ec3aabdeccbaab842", "-out", `${file}.pem`],
  );
}

/** An application that answers with what it is told. */
async function application() {
  const server = createServer((asked, answer) => {
    answer.writeHead(200, { "content-type": "text/plain", "x-content-type-options": "nosniff", "x-frame-options": "DENY" });
    answer.end(`device=${asked.headers["x-device"] ?? "-"} issuer=${asked.headers["x-device-issuer"] ?? "-"}\n`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return server.address().port;
}

async function startGateway(folder, upstream) {
  const ports = { ecdsa: await freePort(), rsa: await freePort(), clients: await freePort() };
  mkdirSync(join(folder, "policies"));
  writeFileSync(
    join(folder, "policies", "app.toml"),
    `[app]
hosts = ["${HOST}"]
upstream = "http://127.0.0.1:${upstream}"

[[rules]]
access = "public"
`,
  );
  const file = join(folder, "lychgate.toml");
  writeFileSync(
    file,
    `policies = ["policies"]
state = "state"
workers = 2

[[listeners]]
address = "127.0.0.1:${ports.ecdsa}"
tls = { certificate = "${HOST}.pem", key = "${HOST}.key" }

[[listeners]]
address = "127.0.0.1:${ports.rsa}"
tls = { certificate = "rsa.pem", key = "rsa.key" }

[[listeners]]
address = "127.0.0.1:${ports.clients}"
tls = { certificate = "${HOST}.pem", key = "${HOST}.key", client = { ca = ["devices.pem"], mode = "required" } }

[admin]
enabled = false
`,
  );
  const log = join(folder, "lychgate.log");
  const gateway = start("the gateway", gatewayProgram, ["run", "--config", file], { log, cwd: folder });
  await untilReady(gateway, () => listens(ports.clients));
  return { gateway, ports };
}

/** The findings of testssl.sh. */
async function scan(folder, port, name, checks) {
  const file = join(folder, `findings-${name}.json`);
  const parameters = [
    ...["--quiet", "--color", "0", "--warnings", "batch", "--openssl-timeout", "20", "--sneaky", "--nodns", "none"],
    ...["--ip", "127.0.0.1", "--add-ca", join(folder, "servers.pem"), "--jsonfile", file],
    ...checks,
    `${HOST}:${port}`,
  ];
  const scanner = start("testssl.sh", "testssl", parameters, { log: join(folder, `testssl-${name}.log`), group: true });
  await until("the end of testssl.sh", () => scanner.ended, SCAN_LIMIT_MS);
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * What testssl.sh finds. Once more when it gave up on a connection by its own account: on a busy machine its clients wait too short. For a session to
 * resume they do not wait at all: they end with the handshake, and have a ticket if it was there by then; only that part is tried again, a few times.
 */
async function findingsOf(folder, port, name) {
  const gaveUp = ({ severity, finding }) => severity === "WARN" && finding.includes("connect problem");
  const ofTickets = ({ id }) => id.startsWith("sessionresumption_");
  let findings = await scan(folder, port, `${name}-1`, CHECKS);
  if (findings.some((one) => gaveUp(one) && !ofTickets(one))) {
    findings = await scan(folder, port, `${name}-2`, CHECKS);
  }
  for (let time = 3; time < 8 && findings.some((one) => gaveUp(one) && ofTickets(one)); time += 1) {
    const anew = await scan(folder, port, `${name}-${time}`, ["--server-defaults"]);
    findings = findings.map((one) => (gaveUp(one) && ofTickets(one) ? (anew.find(({ id }) => id === one.id) ?? one) : one));
  }
  return findings;
}

/** The answer to one request over TLS, or the error that came in its place. */
function ask(folder, port, client) {
  const read = (name) => readFileSync(join(folder, name));
  const shown = client ? { cert: read(`${client}.pem`), key: read(`${client}.key`) } : {};
  return new Promise((done) => {
    const socket = connect({ host: "127.0.0.1", port, servername: HOST, ca: read("servers.pem"), ...shown });
    let text = "";
    socket.setEncoding("utf8").on("data", (part) => (text += part));
    socket.on("error", (error) => done(error.code ?? error.message)).on("end", () => done(text));
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  });
}

script(async () => {
  const folder = freshFolder("tls");
  await authority(folder, "servers");
  await authority(folder, "devices");
  await certify(folder, "servers", HOST, `/CN=${HOST}`, "serverAuth");
  await certify(folder, "servers", HOST, `/CN=${HOST}`, "serverAuth", { key: "rsa", file: "rsa" });
  await certify(folder, "devices", "laptop-7", "/O=Garnet Records/CN=laptop-7", "clientAuth");
  await certify(folder, "servers", "laptop-8", "/CN=laptop-8", "clientAuth");
  const { ports } = await startGateway(folder, await application());

  await check("OpenSSL: a certificate of the right authority is needed for a connection", async () => {
    const answer = await ask(folder, ports.clients, "laptop-7");
    expect(answer.startsWith("HTTP/1.1 200"), `with one: ${answer}`);
    for (const client of [undefined, "laptop-8"]) {
      const refused = await ask(folder, ports.clients, client);
      expect(/^ERR_SSL_|^ECONNRESET/.test(refused), `with ${client}: ${refused}`);
    }
  });

  // Beside each other: testssl.sh waits more than it works.
  const scans = Object.fromEntries(Object.keys(KEYS).map((kind) => [kind, findingsOf(folder, ports[kind], kind)]));
  const scanned = Promise.all(Object.values(scans));
  for (const kind of Object.keys(KEYS)) {
    await check(`testssl.sh: nothing above LOW about the server, whose certificate has an ${kind.toUpperCase()} key`, async () => {
      await scanned;
      const findings = await scans[kind];
      const grave = findings.filter(({ severity }) => ["MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"].includes(severity));
      const left = grave.filter(({ id }) => !OF_THE_TOOL.includes(id));
      expect(left.length === 0, left.map(({ severity, id, finding }) => `${severity} ${id}: ${finding}`).join("; "));
      for (const [id, expected] of Object.entries(REQUIRED)) {
        const found = findings.find((one) => one.id === id)?.finding;
        expect(found?.startsWith(expected), `${id} is ${found}, expected ${expected}`);
      }
    });
  }
});
