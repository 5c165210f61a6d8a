// The certified provider at its strictest: it takes pushed requests alone, and believes its client by a signed assertion.
//
// Shows PAR (RFC 9126), `private_key_jwt` (RFC 7523) and step-up (RFC 9470) against another implementation.

import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame } from "./report.mjs";
import { plan, startGateway } from "./gateway.mjs";
import { said, stop } from "./program.mjs";
import { LEVELS, PASSWORD, signIn, startProvider } from "./provider.mjs";
import { Visitor } from "./visitor.mjs";

const HOST = "royalty.localhost";

const policy = (upstream) => `[app]
hosts = ["${HOST}"]
upstream = "${upstream}"

[login]

[headers]
X-Remote-User = "\${user.preferred_username}"

[[rules]]
paths = ["/admin/**"]
allow = "true"
step_up = { acr = ["${LEVELS[1]}"] }

[[rules]]
allow = "true"
`;

/** Runs the checks; `upstream` is an application that answers with the headers that it was given. */
export async function strictly(upstream) {
  const here = await plan("oidc-provider-strict");
  const origin = `http://${HOST}:${here.port}`;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(here.folder, "client.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const key = { ...publicKey.export({ format: "jwk" }), kid: "2026-11", use: "sig", alg: "ES256" };
  const provider = await startProvider({ redirects: [`${origin}/.lychgate/callback`], key });
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    secret: false,
    provider: `client_auth = "private_key_jwt"\nclient_key = { file = "client.pem" }\nclient_key_id = "2026-11"`,
    policies: { "royalty.toml": policy(upstream) },
  });
  const asked = (page) => page.trail.map((address) => new URL(address)).find((url) => url.pathname === "/auth");
  const ada = new Visitor();

  await check("a pushed request leaves client_id and request_uri alone to the browser", async () => {
    const page = await ada.open(`${origin}/statements`);
    expectSame("the parameters", [...asked(page).searchParams.keys()].sort(), ["client_id", "request_uri"]);
    expectSame("pushed requests", provider.counts.pushed, 1);
  });

  await check("an assertion signed with the client's key redeems the code", async () => {
    const page = await signIn(ada, `${origin}/statements`, "ada");
    expectSame("the status", page.status, 200);
    expectSame("X-Remote-User", JSON.parse(page.text).headers["x-remote-user"], "ada");
    expectSame("codes redeemed", provider.counts.codes, 1);
  });

  await check("step-up asks for the level, and the new sign-in is enough", async () => {
    const page = await ada.open(`${origin}/admin/payouts`);
    expect(page.url.includes("/interaction/"), `shown ${page.url}`);
    const arrived = await ada.submit(page, { login: "ada", password: PASSWORD });
    expectSame("the status", arrived.status, 200);
    expectSame("the address", arrived.url, `${origin}/admin/payouts`);
    expectSame("codes redeemed", provider.counts.codes, 2);
    expectSame("the next visit", (await ada.open(`${origin}/admin/payouts`)).trail.length, 1);
  });

  await check("a program is told which level it lacks", async () => {
    const grace = new Visitor();
    expectSame("the status", (await signIn(grace, `${origin}/statements`, "grace")).status, 200);
    const answer = await grace.send(`${origin}/admin/payouts`, { headers: { accept: "application/json" } });
    expectSame("the status", answer.status, 401);
    const challenge = answer.headers["www-authenticate"];
    expect(challenge.includes("insufficient_user_authentication") && challenge.includes(LEVELS[1]), challenge);
  });

  await check("the log holds no assertion and no key", async () => {
    expectSame("the end of the gateway", await stop(gateway), "ended with 0");
    for (const secret of ["client_assertion", "PRIVATE KEY", "request_uri:"]) {
      expect(!said(gateway).includes(secret), `the log holds ${secret}`);
    }
  });
}
