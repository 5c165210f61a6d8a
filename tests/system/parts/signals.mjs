// The certified provider rotates refresh tokens and tells of logouts on the back channel.
//
// Shows that many requests at once use a refresh token once, and that signing out at one application ends the sessions at
// all applications of that sign-in, cookies that were copied before included.

import { check, expect, expectSame } from "./report.mjs";
import { plan, startGateway } from "./gateway.mjs";
import { stop, until } from "./program.mjs";
import { signIn, signOut, startProvider } from "./provider.mjs";
import { Visitor } from "./visitor.mjs";

const HOST = "royalty.localhost";
const SECOND = "archives.localhost";

// The provider knows no names below `.localhost`: its messages come to the address itself.
const policy = (hosts, upstream) => `[app]
hosts = ${JSON.stringify(hosts)}
upstream = "${upstream}"

[login]

[session]
refresh = "1m"

[headers]
X-Remote-User = "\${user.preferred_username}"

[[rules]]
allow = "true"
`;

/** Runs the checks; `upstream` is an application that answers with the headers that it was given. */
export async function signalled(upstream) {
  const here = await plan("oidc-provider-signals");
  const [royalty, archives] = [HOST, SECOND].map((host) => `http://${host}:${here.port}`);
  const provider = await startProvider({
    redirects: [royalty, archives].map((origin) => `${origin}/.lychgate/callback`),
    afterLogout: [royalty, archives].map((origin) => `${origin}/.lychgate/signed-out`),
    backChannel: `http://127.0.0.1:${here.port}/.lychgate/backchannel-logout`,
  });
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    policies: { "royalty.toml": policy([HOST, "127.0.0.1"], upstream), "archives.toml": policy([SECOND], upstream) },
  });
  const ada = new Visitor();
  const script = (cookie) => ({ headers: { accept: "application/json", cookie } });

  await check("twenty requests at once use a refresh token once, and nobody is signed out", async () => {
    expectSame("the status", (await signIn(ada, `${royalty}/statements`, "ada")).status, 200);
    await until("a refresh", async () => {
      const sent = Array.from({ length: 20 }, () => ada.send(`${royalty}/statements`, { headers: { accept: "*/*" } }));
      const statuses = (await Promise.all(sent)).map((answer) => answer.status);
      expect(statuses.every((status) => status === 200), `got ${statuses}`);
      return provider.counts.refreshes > 0;
    }, 90_000);
    expectSame("tokens used", [provider.counts.refreshes, provider.counts.revokedGrants], [1, 0]);
    expectSame("the status", (await ada.open(`${royalty}/statements`)).status, 200);
  });

  await check("signing out at one application ends the other's session, a copied cookie too", async () => {
    expectSame("the status", (await ada.open(`${archives}/search`)).status, 200);
    const copied = `lychgate=${ada.cookies(SECOND).get("lychgate")}`;
    expectSame("before", (await new Visitor().send(`${archives}/search`, script(copied))).status, 200);
    const page = await signOut(ada, royalty, provider.issuer);
    expect(page.url.startsWith(`${royalty}/.lychgate/signed-out`), `the walk ended at ${page.url}`);
    await until("the end of the other session", async () => {
      return (await new Visitor().send(`${archives}/search`, script(copied))).status === 401;
    });
    expectSame("the end of the gateway", await stop(gateway), "ended with 0");
  });
}
