// Where things are. tests/run sets these; by hand, the defaults suit a plain `cargo build --bins --examples`.

import { mkdirSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the project. */
export const tree = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** Cargo's target folder. */
export const target = resolve(process.env.CARGO_TARGET_DIR ?? join(tree, "target"));

/** The programs under test. */
export const gatewayProgram = process.env.GATEWAY_PROGRAM ?? join(target, "debug/lychgate");
export const demoProgram = process.env.DEMO_PROGRAM ?? join(target, "debug/examples/demo");

/** The applications that stand behind the gateway in these tests. */
export const applications = join(tree, "tests/system/applications");

/** Where pictures of pages are kept. */
export function screenshots() {
  const folder = join(target, "screenshots");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** A new folder for the configuration, logs and data of one test. */
export function freshFolder(name) {
  const parent = join(target, "system", "runs");
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, `${name}-`));
}

/** A package that tests/run installed below the target folder. */
export function installed(name) {
  return createRequire(join(target, "system", "from-here.js"))(name);
}
