// Real Chromium through the demonstration: what a person sees, from the deep link to the logout.
//
// Pictures of the pages are kept in target/screenshots.

import { join } from "node:path";
import { hostileAddresses } from "./parts/addresses.mjs";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { said, start, stop, untilReady } from "./parts/program.mjs";
import { demoProgram, freshFolder, installed, screenshots } from "./parts/setting.mjs";
import { Visitor } from "./parts/visitor.mjs";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SIZE = { width: 1100, height: 820 };
const PATIENCE_MS = 15_000;

/** Starts the demonstration on free ports and finds its addresses in what it prints. */
async function startDemo() {
  const folder = freshFolder("browser");
  const ports = ["--port", "--provider-port", "--royalty-port", "--archives-port"].flatMap((name) => [name, "0"]);
  const demo = start("the demonstration", demoProgram, ports, { log: join(folder, "demo.log"), cwd: folder });
  const printed = (name) => said(demo).match(new RegExp(`http://${name}\\.localhost:\\d+`))?.[0];
  await untilReady(demo, () => printed("royalty") && printed("archives") && printed("login"));
  const [royalty, archives, issuer] = ["royalty", "archives", "login"].map(printed);
  await untilReady(demo, () => sendsToProvider(royalty, issuer));
  return { demo, royalty, archives, issuer };
}

/** Whether the gateway listens and knows its provider. */
async function sendsToProvider(royalty, issuer) {
  const headers = { accept: "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  const answer = await new Visitor().send(`${royalty}/`, { headers }).catch(() => undefined);
  return answer?.headers.location?.startsWith(issuer);
}

/** One person's window, which remembers every address that it loaded and every complaint of the browser. */
async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: SIZE, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const seen = { addresses: [], complaints: [] };
  page.on("request", (request) => seen.addresses.push(request.url()));
  page.on("console", (message) => {
    const text = message.text();
    const status = text.startsWith("Failed to load resource"); // a 403 page is no complaint about a page
    if (["error", "warning"].includes(message.type()) && !status) seen.complaints.push(text);
  });
  return { context, page, seen };
}

async function signIn(page, user) {
  await page.fill("#user", user);
  await page.fill("#password", `${user}-demo`);
  await page.getByRole("button", { name: "Next" }).click();
  const code = await page.locator("#shown-code").innerText();
  await page.fill("#code", code.replace(/\s/g, ""));
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The identity headers that the application says it was given, as it shows them. */
async function told(page) {
  const rows = page.getByRole("table", { name: "About the person" }).locator("tbody tr");
  const cells = await rows.evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText)));
  return Object.fromEntries(cells.map(([name, value]) => [name.toLowerCase(), value]));
}

const heading = (page) => page.locator("h1").first().innerText();

/** Signs out, wherever the way there asks for a confirmation. */
async function signOut(page, origin) {
  await page.goto(`${origin}/.lychgate/logout`);
  for (let step = 0; step < 3 && !page.url().startsWith(`${origin}/.lychgate/signed-out`); step++) {
    await page.getByRole("button", { name: /sign out/i }).click();
    await page.waitForLoadState();
  }
}

script(async () => {
  const { demo, royalty, archives, issuer } = await startDemo();
  const { chromium } = installed("playwright-core");
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
  const shots = screenshots();
  const picture = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });

  const { page, seen } = await open(browser);
  const deep = `${royalty}/statements/2026-1-0041?view=print&next=%2Fstatements`;

  await check("a deep link leads to the sign-in page of the provider", async () => {
    await page.goto(deep);
    expect(page.url().startsWith(issuer), `shown ${page.url()}`);
    expectSame("the heading", await heading(page), "Sign in");
    await picture(page, "1-sign-in");
  });

  await check("a wrong password is refused with an explanation", async () => {
    await page.fill("#user", "ada");
    await page.fill("#password", "wrong");
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("alert").waitFor();
    expect(page.url().startsWith(issuer), `shown ${page.url()}`);
  });

  await check("password and second factor lead back to the page asked for", async () => {
    await page.fill("#user", "ada");
    await page.fill("#password", "ada-demo");
    await page.getByRole("button", { name: "Next" }).click();
    await page.locator("#shown-code").waitFor();
    await picture(page, "2-second-factor");
    await page.fill("#code", (await page.locator("#shown-code").innerText()).replace(/\s/g, ""));
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(deep);
    expectSame("the heading", await heading(page), "Statement 2026-1-0041");
    await picture(page, "3-statement");
  });

  await check("the application was told who it is", async () => {
    const headers = await told(page);
    expectSame("X-Remote-User", headers["x-remote-user"], "ada");
    expectSame("X-Remote-Email", headers["x-remote-email"], "ada@gmr.example");
    expectSame("X-Remote-Name", headers["x-remote-name"], "Ada Marlowe");
    expectSame("X-Remote-Groups", headers["x-remote-groups"], "royalty-artists");
    expectSame("X-Royalty-Role", headers["x-royalty-role"], "VIEWER");
    expect((await page.locator(".who").innerText()).includes("Ada Marlowe"), "the page greets somebody else");
  });

  await check("the session cookie is out of reach for scripts and applications", async () => {
    expectSame("document.cookie", await page.evaluate(() => document.cookie), "");
    const given = await page.getByRole("table", { name: "All others" }).innerText();
    expect(!/^cookie\b/im.test(given), `the application was given ${given}`);
  });

  await check("an artist is shown the forbidden page at the payouts", async () => {
    const answer = await page.goto(`${royalty}/admin/payouts`);
    expectSame("the status", answer.status(), 403);
    expectSame("the address", page.url(), `${royalty}/admin/payouts`);
    const policy = answer.headers()["content-security-policy"] ?? "";
    expect(policy.includes("default-src 'none'"), `the Content-Security-Policy is ${policy}`);
    expect((await page.locator("html").getAttribute("lang")) === "en", "the page names no language");
    expect((await page.title()).length > 0 && (await heading(page)).length > 0, "the page has no title or heading");
    expect(!(await page.locator("body").innerText()).includes("Payouts of this run"), "the application answered");
    await picture(page, "4-forbidden");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "4-forbidden-dark");
    await page.emulateMedia({ colorScheme: "light" });
  });

  await check("the other application needs no second sign-in, and has its own rules", async () => {
    const answer = await page.goto(`${archives}/`);
    expectSame("the address", page.url(), `${archives}/`);
    expectSame("the status", answer.status(), 403);
  });

  await check("logout ends at a page that says so", async () => {
    await signOut(page, royalty);
    expect(page.url().startsWith(`${royalty}/.lychgate/signed-out`), `shown ${page.url()}`);
    await picture(page, "5-signed-out");
  });

  await check("after logout the password is asked for again", async () => {
    await page.goto(`${royalty}/statements`);
    expect(page.url().startsWith(issuer), `shown ${page.url()}`);
    await page.locator("#password").waitFor();
  });

  const admin = await open(browser);

  await check("an administrator approves a payout", async () => {
    await admin.page.goto(`${royalty}/admin/payouts`);
    await signIn(admin.page, "otis");
    await admin.page.waitForURL(`${royalty}/admin/payouts`);
    expectSame("X-Royalty-Role", (await told(admin.page))["x-royalty-role"], "ADMIN");
    await admin.page.getByRole("button", { name: "Approve the payout of 2026-1-0041" }).click();
    await admin.page.getByText("approved by otis").first().waitFor();
    expectSame("the address", admin.page.url(), `${royalty}/admin/payouts`);
    await picture(admin.page, "6-payouts");
  });

  const curator = await open(browser);

  await check("a name beyond ASCII arrives as the policy says", async () => {
    await curator.page.goto(`${archives}/search?q=Marlowe`);
    await signIn(curator.page, "zoe");
    await curator.page.waitForURL(`${archives}/search?q=Marlowe`);
    expectSame("X-Remote-Name", (await told(curator.page))["x-remote-name"], "Zoë Lindqvist");
    await picture(curator.page, "7-archives");
  });

  await check("a script of the page resumes a download in the middle", async () => {
    const [status, range, size] = await curator.page.evaluate(async () => {
      const headers = { range: "bytes=100000-299999" };
      const answer = await fetch("/downloads/GMR-1544/listening.wav", { headers });
      const length = (await answer.arrayBuffer()).byteLength;
      return [answer.status, answer.headers.get("content-range"), length];
    });
    expectSame("the status", status, 206);
    expect(range.startsWith("bytes 100000-299999/"), `Content-Range is ${range}`);
    expectSame("the length", size, 200_000);
  });

  const stranger = await open(browser);

  await check("a script without session is told 401, and is not sent to the provider", async () => {
    await stranger.page.goto(`${royalty}/static/style.css`);
    const [status, type, redirected] = await stranger.page.evaluate(async () => {
      const answer = await fetch("/statements");
      return [answer.status, answer.headers.get("content-type"), answer.redirected];
    });
    expectSame("the status", status, 401);
    expect(type.includes("json"), `the content type is ${type}`);
    expectSame("redirected", redirected, false);
  });

  await check("no page loads anything from elsewhere, and the browser has nothing to complain of", async () => {
    for (const { addresses, complaints } of [seen, admin.seen, curator.seen, stranger.seen]) {
      const origins = [royalty, archives, issuer];
      const elsewhere = addresses.filter((address) => !origins.includes(new URL(address).origin));
      expectSame("addresses elsewhere", elsewhere, []);
      expectSame("complaints", complaints, []);
    }
  });

  const lured = await open(browser);
  await lured.page.goto(`${royalty}/`);
  await signIn(lured.page, "ada");
  await lured.page.waitForURL(`${royalty}/`);
  await hostileAddresses(lured, royalty, issuer);

  await browser.close();

  await check("the demonstration stops cleanly", async () => {
    expectSame("the end", await stop(demo), "ended with 0");
  });
});
