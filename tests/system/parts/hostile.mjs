// Spellings: of a path that somebody may not see, and of a header that nobody may send.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tree } from "./setting.mjs";

const WAYS_IN = [
  "", "/.", "/%2e", "/%2E", "/", "//", "/;", "/;x", "/;/;x=1", "/x/..", "/x/%2e%2e", "/x/.%2E", "/x/..;", "/x/..;a=1",
  "/x/%2e%2e;", "/public/..", "/public/../", "/public/%2e%2e", "/public/.%2e", "/public/%2e.", "/public/x/../..",
  "/public/x/%2e%2e/%2e%2e", "/public/..;", "/public/..;x=1", "/public/.;/..;", "/public/;/..;", "/public;x/..",
  "/public;x/..;y", "/public;/%2e%2e;", "/public/x/..;/..;", "/public/..%2f", "/public%2f..", "/public%2F%2e%2e",
  "/public/..%5c", "/public/..\\", "/public\\..", "/public%5c..", "/public/..%252f", "/public/%252e%252e",
  "/public/%c0%ae%c0%ae", "/public/..%c0%af", "/public/%e0%80%ae%e0%80%ae", "/public/%u002e%u002e", "/public/..%00",
  "/public/%00/..", "/public/..%09", "/public/..%0d%0a", "/public/..%20", "/public/. .", "/public/...",
  "/public/x//..//..", "/private/..", "/private/%2e%2e;x", "/PUBLIC/..", "/%70ublic/..", "/public/echo/../..",
  "/public/x%2f..%2f..",
];
const BETWEEN = [
  "/", "//", "/./", "/%2e/", "/;/", ";/", ";x/", ";x=1;y/", "/x/../", "/x/..;/", "/x/%2e%2e/", "%2f", "%2F", "%2f%2f",
  "%252f", "\\", "%5c", "/\\", "/.;/", "/%3b/", "%3b/", "/%00/", "%00/", "%20/", "%09/", ".%2f", "/.%2f", "%c0%af",
  "%ef%bc%8f", "/%0a/",
];
const BEHIND = [
  "", "/", "//", "/.", "/./", ";", ";x", ";jsessionid=0123", ";x=/../../public/x", ";/", ";x/y", "/;x", "%3b", "%3bx",
  "%20", "%2e", "/%2e", "%00", "%00.css", ".css", "/x.css", ";.css", "/x/..", "/x/..;", "/..", "/../x", "%2f", "%2fx",
  "%2f..%2fx", "?", "?/public/x", "?/../public", "/x%2f..", "/%2e%2e/x", "#", "#/public/x", "%23", "%3f", "%0a", "\\",
  "%5c", "~", "::$DATA", "/public/..", "%2f%2e%2e",
];
const NAMES = [
  "admin", "ADMIN", "Admin", "aDMIN", "%61dmin", "%41DMIN", "adm%69n", "%61%64%6d%69%6e", "%2561dmin", "%2%3561dmin",
  "admin%20", "%20admin", "admin.", "admin%2e", "admin%00", "%00admin", ".admin", "./admin", "admin/.", "admin;x",
  ";admin", "x;admin", "%c1%a1dmin", "%u0061dmin", "admin%09", "%0dadmin", "\u00e1dmin", "%ef%bd%81dmin",
];

/** The targets of tests/data/targets.toml, with the secret's place for the one that they name. */
function targetsOfTheRustTests() {
  const text = readFileSync(join(tree, "tests/data/targets.toml"), "utf8");
  const quoted = [...text.matchAll(/"(\/(?:[^"\\]|\\.)*)"/g)].map(([whole]) => JSON.parse(whole));
  return quoted;
}

/**
 * Spellings of `base/admin/page` that some server may resolve to it: each part in each of its spellings, and of any two parts together
 * every so many, `pairs` in all; the same in every run.
 */
export function spellings(base, page, pairs) {
  const whole = (way, name, between, behind) => `${base}${way}/${name}${between}${page}${behind}`;
  const alone = [
    ...WAYS_IN.flatMap((way) => [whole(way, "admin", "/", ""), `${base}${way}admin/${page}`]),
    ...NAMES.map((name) => whole("", name, "/", "")),
    ...BETWEEN.map((between) => whole("", "admin", between, "")),
    ...BEHIND.map((behind) => whole("", "admin", "/", behind)),
    ...targetsOfTheRustTests().map((target) => base + target.replace("/admin", `/admin/${page}`)),
    `http://other.example${whole("", "admin", "/", "")}`,
  ];
  const paired = [
    ...WAYS_IN.flatMap((way) => [
      ...BETWEEN.map((between) => whole(way, "admin", between, "")),
      ...BEHIND.map((behind) => whole(way, "admin", "/", behind)),
      ...NAMES.map((name) => whole(way, name, "/", "")),
    ]),
    ...BETWEEN.flatMap((between) => BEHIND.map((behind) => whole("", "admin", between, behind))),
    ...NAMES.flatMap((name) => BEHIND.map((behind) => whole("", name, "/", behind))),
  ];
  const share = Array.from({ length: pairs }, (_, at) => paired[Math.floor((at * paired.length) / pairs)]);
  return [...new Set([...alone, ...share])].filter((target) => !/[\r\n ]/.test(target));
}

const SIGNS = [..."!#$%&'*+-.^_`|~"];
const LETTERS = [..."0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];

/** As CGI, FastCGI and servlet bridges fold names (RFC 3875 section 4.1.18, lighttpd, PHP). */
export const folded = (name) => name.toUpperCase().replace(/[^A-Z0-9]/g, "_");

/** Every way to write `name` with another byte for its dashes that may stand in a header's name (RFC 9110 section 5.6.2). */
export function aliases(name) {
  const found = new Set();
  for (const sign of [...SIGNS, ...LETTERS]) {
    for (const spelled of [name.replaceAll("-", sign), name.replace("-", sign), name.replace(/-(?=[^-]*$)/, sign)]) {
      found.add(spelled);
      if (SIGNS.includes(sign)) found.add(spelled.toLowerCase()).add(spelled.toUpperCase());
    }
  }
  for (const cased of [name, name.toLowerCase(), name.toUpperCase()]) found.add(cased);
  for (const one of SIGNS) for (const other of SIGNS) found.add(name.replace("-", one).replace(/-(?=[^-]*$)/, other));
  return [...found];
}

/** The names of tests/data/forged-headers.txt. */
export function listed() {
  const text = readFileSync(join(tree, "tests/data/forged-headers.txt"), "utf8");
  return text.split("\n").filter((line) => line && !line.startsWith("# "));
}
