// Requests over connections of which a test chooses the ends, and keeps them open.

import { Agent, request } from "node:http";
import { connect } from "node:net";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Asks `host`'s `path` at a port of loopback, from this address; what came, or the error that did. */
export function ask(port, { host, path = "/", from = "127.0.0.1", agent = false, limit = 5000 } = {}) {
  return new Promise((done) => {
    const options = { host: "127.0.0.1", port, path, localAddress: from, agent, headers: { host } };
    const asked = request(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part)).on("error", (error) => done({ error }));
      answer.on("end", () => done({ status: answer.statusCode, text: Buffer.concat(parts).toString("utf8") }));
    });
    asked.setTimeout(limit, () => asked.destroy(new Error(`no answer in ${limit} ms`)));
    asked.on("error", (error) => done({ error })).end();
  });
}

/** An agent that keeps one connection. */
export function oneConnection() {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

/** Opens connections that say nothing; what opened is in the list, closed ones are taken out of it. */
export async function openIdle(port, count) {
  const open = new Set();
  const opened = [];
  for (let index = 0; index < count; index++) {
    opened.push(
      new Promise((done) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("connect", () => done(open.add(socket)));
        socket.on("error", () => {}).on("close", () => (open.delete(socket), done()));
      }),
    );
  }
  await Promise.all(opened);
  return open;
}

/**
 * A process' resident memory in KiB, and how many files it has open. `own` is without the pages of its program and libraries: those belong
 * to files, and the kernel takes them away and brings them back as it likes, up to 2 MiB at once (proc(5), RssAnon).
 */
export function footprint({ child: { pid } }) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m"))[1]);
  return { resident: kib("VmRSS"), own: kib("RssAnon") + kib("RssShmem"), files: readdirSync(`/proc/${pid}/fd`).length };
}

/** From now on `peak` tells the most memory since now (proc(5), clear_refs). */
export function forgetPeak({ child: { pid } }) {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** The most memory in KiB that a process had since `forgetPeak`, however short it was. */
export function peak({ child: { pid } }) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB$/m)[1]);
}

/** Changes how many files a running program may have open. */
export function limitFiles({ child: { pid } }, most) {
  execFileSync("prlimit", ["--pid", String(pid), `--nofile=${most}:`]);
}

/** A certificate for a name, made with openssl: file names of certificate and key. */
export function certify(folder, name) {
  const [certificate, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const parameters = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  parameters.push("-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`, "-out", certificate, "-keyout", key);
  execFileSync("openssl", parameters, { stdio: "ignore" });
  return { certificate, key };
}
