// Return addresses in a real browser, hostile ones and good ones: where it really goes, and how it reads what it is told.
//
// The lists are those that the Rust tests judge with a parser of the URL standard (tests/data/return-to-*.txt); here a sample of each
// class of the hostile ones, and of the good ones, is judged by Chromium itself.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame } from "./report.mjs";
import { tree } from "./setting.mjs";
import { Visitor } from "./visitor.mjs";

const HOSTILE = join(tree, "tests/data/return-to-hostile.txt");
const GOOD = join(tree, "tests/data/return-to-good.txt");
const FROM_EACH_CLASS = 7;
const GOOD_ONES = 7;
const LETTERS = { t: "\t", n: "\n", r: "\r", 0: "\0", "\\": "\\" };

const unescaped = (line) =>
  line.replace(/\\(?:u\{([0-9a-f]+)\}|([tnr0\\]))/g, (_, code, letter) =>
    code ? String.fromCodePoint(parseInt(code, 16)) : LETTERS[letter],
  );

/** Hostile addresses of every class, evenly spread over it. */
function sample() {
  const classes = [];
  for (const line of readFileSync(HOSTILE, "utf8").split("\n")) {
    if (line.startsWith("# ")) classes.push([]);
    else if (line) classes.at(-1).push(unescaped(line));
  }
  return classes.flatMap((all) => {
    const step = Math.max(1, Math.floor(all.length / FROM_EACH_CLASS));
    return all.filter((_, index) => index % step === 0).slice(0, FROM_EACH_CLASS);
  });
}

/** Good addresses, evenly spread over the list, and those with a quote in the query, which browsers escape. */
function good() {
  const all = readFileSync(GOOD, "utf8")
    .split("\n")
    .filter((line) => line && !line.startsWith("# "));
  const step = Math.floor(all.length / GOOD_ONES);
  return all.filter((address, index) => index % step === step - 1 || /\?.*'/.test(address));
}

/** Goes to `address` and tells where the browser ended; nothing where it went nowhere. */
async function ends(page, address) {
  await page.goto("about:blank");
  await page.goto(address, { waitUntil: "commit" }).catch(() => undefined);
  const url = page.url();
  return url === "about:blank" || url.startsWith("chrome-error:") ? undefined : new URL(url).origin;
}

/** Runs the checks in a browser that is signed in at the provider, so that every login comes back at once. */
export async function hostileAddresses({ context, page, seen }, origin, issuer) {
  const all = sample();
  const own = [origin, issuer];
  const host = new URL(origin).hostname;
  await page.goto(`${origin}/static/style.css`);
  const read = await page.evaluate(
    ([addresses, base]) =>
      addresses.map((address) => {
        try {
          return new URL(address, base).origin;
        } catch {
          return "none";
        }
      }),
    [all, `${origin}/some/page`],
  );

  await check("to Chromium, most addresses of the sample are elsewhere", async () => {
    const elsewhere = read.filter((found) => found !== origin).length;
    expect(all.length >= 60 && elsewhere >= 40, `${elsewhere} of ${all.length} are elsewhere`);
  });

  await check("no hostile address as the first request leads Chromium away, before or after the login", async () => {
    let arrived = 0;
    for (const address of all.filter((one) => /^[/\\]/.test(one))) {
      await context.clearCookies({ domain: host });
      const found = await ends(page, `${origin}${address}`);
      expect(found === undefined || own.includes(found), `${JSON.stringify(address)} ended at ${found}`);
      if (found === origin) arrived += 1;
    }
    expect(arrived >= 10, `only ${arrived} logins came back`);
  });

  await check("Chromium comes back from a login to the very address that it asked for", async () => {
    const addresses = good();
    expect(addresses.length > GOOD_ONES && addresses.some((address) => address.includes("'")), `only ${addresses}`);
    for (const address of addresses) {
      await context.clearCookies({ domain: host });
      const before = seen.addresses.length;
      await page.goto(`${origin}${address}`);
      const [path, ...query] = address.split("?");
      const expected = [path, ...query.map((part) => part.replaceAll("'", "%27"))].join("?");
      expectSame("where the login ended", page.url(), `${origin}${expected}`);
      const asked = seen.addresses.slice(before).map((one) => new URL(one).origin);
      expect(asked.includes(issuer), `${address} was shown without a login`);
    }
  });

  // The gateway reads none of them: that answers are the same with and without is shown in Rust, for all addresses at each page.
  await check("no hostile address in a parameter of our own pages leads Chromium away", async () => {
    const pages = ["callback?target_link_uri=", "sign-in?for=", "logout?post_logout_redirect_uri=", "signed-out?state="];
    for (const [index, address] of all.entries()) {
      const target = `${origin}/.lychgate/${pages[index % pages.length]}${encodeURIComponent(address)}`;
      const found = await ends(page, target);
      expect(found === undefined || own.includes(found), `${target} ended at ${found}`);
    }
  });

  await check("Chromium reads every Location that a hostile address is answered with as ours or the provider's", async () => {
    const locations = [];
    for (const address of all.filter((one) => /^[!-~]+$/.test(one))) {
      const headers = { accept: "text/html", "sec-fetch-mode": "navigate" };
      const answer = await new Visitor().send(`${origin}/`, { headers, path: address }).catch(() => undefined);
      if (answer?.headers.location) locations.push(answer.headers.location);
    }
    expect(locations.length >= 10, `only ${locations.length} answers with a Location`);
    await page.goto(`${origin}/static/style.css`);
    const read = await page.evaluate((found) => found.map((one) => new URL(one, location.href).origin), locations);
    const elsewhere = read.filter((found) => !own.includes(found));
    expect(elsewhere.length === 0, `leads to ${elsewhere}`);
  });

  await check("all the while Chromium asked nobody but us and the provider", async () => {
    const asked = seen.addresses.filter((address) => !own.includes(new URL(address).origin));
    expect(asked.length === 0, `asked ${asked}`);
  });
}
