// Programs that a test starts, and ends by their process ids.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { once } from "node:events";

const started = new Set();
/**
 * h2 asserts where it is debugged, and only there, that a connection has no stream when it is dropped; one that is cut off
 * has some. For a panic's backtrace the program reads its 100 MiB of debug information and keeps them: no backtraces then.
 */
const H2S_COUNT = /\/h2-[^/]+\/src\/proto\/streams\/counts\.rs/;
const PLAIN = { RUST_BACKTRACE: "0" };
/** What programs said of panics of their own, by those that have ended. */
const panics = [];
const READY_MS = 30_000;
const STOP_MS = 10_000;
const POLL_MS = 25;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Starts a program with its output in a log file; with `group` in a process group of its own, which ends with it. */
export function start(name, command, parameters, { log, cwd, env = {}, group = false }) {
  const file = openSync(log, "w");
  const child = spawn(command, parameters, {
    cwd,
    env: { ...process.env, ...PLAIN, ...env },
    detached: group,
    stdio: ["ignore", file, file],
  });
  closeSync(file);
  const program = { name, child, log, group, ended: null };
  child.on("error", (error) => (program.ended = `could not be started: ${error.message}`));
  child.on("exit", (code, signal) => {
    program.ended ??= `ended with ${signal ?? code}`;
    panics.push(...panicsOf(program));
  });
  started.add(program);
  return program;
}

/** Waits until `ready` holds; the end of the program or the time limit is an error that shows its log. */
export async function untilReady(program, ready, limit = READY_MS) {
  const end = Date.now() + limit;
  while (!(await ready())) {
    if (program.ended) throw new Error(`${program.name} ${program.ended}; it said: ${tail(program)}`);
    if (Date.now() > end) throw new Error(`${program.name} was not ready in time; it said: ${tail(program)}`);
    await pause(POLL_MS);
  }
}

/** Waits until `holds` tells something true, and gives it; the time limit is an error that says what was waited for. */
export async function until(what, holds, limit = READY_MS) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come about in time`);
    await pause(POLL_MS * 10);
  }
}

/** Asks a program to stop, and kills it when it does not; tells how it ended. */
export async function stop(program) {
  started.delete(program);
  if (program.ended) return program.ended;
  const gone = once(program.child, "exit");
  program.child.kill("SIGTERM");
  const late = setTimeout(() => kill(program), STOP_MS);
  await gone;
  clearTimeout(late);
  return program.ended;
}

/** The panics that a program of Rust told of, whatever they ended: a task that dies is else seen by nobody. */
function panicsOf(program) {
  const lines = said(program).split("\n");
  const at = lines.flatMap((line, number) => (/panicked at /.test(line) && !H2S_COUNT.test(line) ? [number] : []));
  return at.map((number) => `${program.name}: ${lines.slice(number, number + 60).join("\n")}`);
}

/** All panics that were told of by the programs that have been stopped. */
export function panicked() {
  return panics;
}

/** Ends a program at once, with its group where it has one. */
function kill({ child, group }) {
  if (!group || child.pid === undefined) return child.kill("SIGKILL");
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It is gone.
  }
}

/** Stops everything that still runs, last started first. */
export async function stopAll() {
  for (const program of [...started].reverse()) await stop(program);
}

/** Everything that a program has said so far. */
export function said(program) {
  return readFileSync(program.log, "utf8");
}

/** The ends of the logs of everything that runs, for the report of a failure. */
export function lastWords() {
  return [...started].map((program) => `-- ${program.name}:\n${tail(program)}`).join("\n");
}

function tail(program) {
  return said(program).split("\n").slice(-15).join("\n");
}

/** A port of 127.0.0.1 that nothing listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Whether something listens on a port of 127.0.0.1. */
export function listens(port) {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => done(true)).once("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => stopAll().then(() => process.exit(1)));
}
process.once("exit", () => started.forEach(kill));
