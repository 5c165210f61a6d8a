// A policy from policies/templates as an administrator takes it over: its host and its upstream are changed, nothing else.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tree } from "./setting.mjs";

/** The text of a template with another host and upstream. */
export function fromTemplate(name, host, upstream) {
  const text = readFileSync(join(tree, "policies", "templates", `${name}.toml`), "utf8");
  return replaceOnce(replaceOnce(text, "hosts", `["${host}"]`), "upstream", `"${upstream}"`);
}

function replaceOnce(text, key, value) {
  const line = new RegExp(`^${key}(\\s*)= .*$`, "gm");
  const found = text.match(line) ?? [];
  if (found.length !== 1) throw new Error(`${found.length} lines give \`${key}\``);
  return text.replace(line, `${key}$1= ${value}`);
}
