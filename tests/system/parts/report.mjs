// One line for each thing that was shown to hold or not: `ok NAME` or `not ok NAME why`.
//
// A check that fails ends the script, because the checks after it stand on what it did. What was started is stopped in
// every case, and the exit code says how it went. A program that told of a panic fails the script too, though every check held.

import { lastWords, panicked, stopAll } from "./program.mjs";

let current = "start";

/** Runs one check and prints its line. */
export async function check(name, body) {
  current = name;
  await body();
  console.log(`ok ${name}`);
  current = `what follows ${name}`;
}

/** Throws unless `holds`; the text says what was found. */
export function expect(holds, found) {
  if (!holds) throw new Error(found);
}

/** Throws unless two values print alike. */
export function expectSame(what, found, expected) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  expect(left === right, `${what} is ${left}, expected ${right}`);
}

/** Runs a whole script: every failure becomes a line and an exit code. */
export async function script(body) {
  let code = 0;
  try {
    await body();
  } catch (error) {
    const [first, ...rest] = String(error?.stack ?? error).split("\n");
    console.log(`not ok ${current} ${first}`);
    console.error(rest.join("\n"));
    console.error(lastWords());
    code = 1;
  }
  await stopAll();
  for (const panic of panicked()) {
    console.log(`not ok no program panics ${panic}`);
    code = 1;
  }
  process.exit(code);
}
