// Keycloak and the gateway as its relying party: what the first provider shows must hold at a second one, too.

import { startApplication, told } from "./parts/echo.mjs";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { endSessions, join, startKeycloak } from "./parts/keycloak.mjs";
import { said, stop, until } from "./parts/program.mjs";
import { CLIENT, PASSWORD } from "./parts/provider.mjs";
import { Visitor } from "./parts/visitor.mjs";

const HOST = "royalty.localhost";
const SECOND = "archives.localhost";

// Keycloak's machine knows no names below `.localhost`: its messages come to the address itself.
const policy = (hosts, upstream) => `[app]
hosts = ${JSON.stringify(hosts)}
upstream = "${upstream}"

[login]

[session]
refresh = "1m"

[headers]
X-Remote-User = "\${user.preferred_username}"
X-Remote-Email = "\${user.email}"
X-Remote-Name = { value = "\${user.name}", encoding = "percent" }
X-Remote-Groups = { list = "\${user.groups}", separator = ";" }

[[rules]]
paths = ["/admin/**"]
allow = "'royalty-admins' in user.groups"

[[rules]]
allow = "'staff' in user.groups"
`;

const signIn = async (visitor, address, username) => {
  const page = await visitor.open(address);
  expect(page.text.includes("kc-form-login"), `no sign-in form at ${page.url}`);
  return visitor.submit(page, { username, password: PASSWORD });
};

script(async () => {
  const here = await plan("keycloak");
  const origins = [HOST, SECOND].map((host) => `http://${host}:${here.port}`);
  const [royalty, archives] = origins;
  const keycloak = await startKeycloak({
    folder: here.folder,
    redirects: origins.map((origin) => `${origin}/.lychgate/callback`),
    afterLogout: origins.map((origin) => `${origin}/.lychgate/signed-out`),
    client: {
      attributes: {
        "backchannel.logout.url": `http://127.0.0.1:${here.port}/.lychgate/backchannel-logout`,
        "backchannel.logout.session.required": "true",
      },
    },
  });
  const upstream = await startApplication();
  const gateway = await startGateway(here, {
    issuer: keycloak.issuer,
    scopes: ["openid", "profile", "email"],
    policies: { "royalty.toml": policy([HOST, "127.0.0.1"], upstream), "archives.toml": policy([SECOND], upstream) },
  });
  const ada = new Visitor();
  const deep = `${royalty}/statements/2024?quarter=3`;

  await check("a person signs in at Keycloak and arrives at the page asked for", async () => {
    const page = await signIn(ada, deep, "ada");
    expectSame("the address", page.url, deep);
    expectSame("the application's view", told(page).url, "/statements/2024?quarter=3");
  });

  await check("Keycloak's claims arrive as identity headers", async () => {
    const { headers } = told(await ada.open(`${royalty}/statements`));
    expectSame("X-Remote-User", headers["x-remote-user"], "ada");
    expectSame("X-Remote-Email", headers["x-remote-email"], "ada@gmr.example");
    expectSame("X-Remote-Name", headers["x-remote-name"], "Ada%20Example");
    expectSame("X-Remote-Groups", headers["x-remote-groups"].split(";").sort().join(), "royalty-artists,staff");
  });

  await check("a rule on groups refuses what it should", async () => {
    expectSame("the status", (await ada.open(`${royalty}/admin/payouts`)).status, 403);
  });

  await check("a second application needs no second sign-in", async () => {
    const page = await ada.open(`${archives}/search`);
    expectSame("X-Remote-User", told(page).headers["x-remote-user"], "ada");
    expect(page.trail.some((address) => address.startsWith(keycloak.issuer)), "Keycloak was not asked");
  });

  await check("a new group counts after the next refresh, and twenty requests at once cause one", async () => {
    await join(keycloak, "ada", "royalty-admins");
    const page = `${royalty}/admin/payouts`;
    const refreshed = async () => /lychgate_refreshes_total\{[^}]*succeeded[^}]*\} 1\b/.test(await gateway.metrics());
    await until("a refresh", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => ada.send(page, { headers: { accept: "*/*" } })));
      expect(answers.every((answer) => [200, 403].includes(answer.status)), `got ${answers.map((a) => a.status)}`);
      return answers.some((answer) => answer.status === 200);
    }, 90_000);
    expect(await refreshed(), await gateway.metrics());
    expectSame("the status", (await ada.open(page)).status, 200);
  });

  await check("sessions that an administrator ends at Keycloak end here, copied cookies too", async () => {
    const copied = ada.cookies(HOST).get("lychgate");
    const script = { headers: { accept: "application/json", cookie: `lychgate=${copied}` } };
    expectSame("the status before", (await new Visitor().send(`${royalty}/statements`, script)).status, 200);
    await endSessions(keycloak, "ada");
    await until("the end of the session", async () => {
      return (await new Visitor().send(`${royalty}/statements`, script)).status === 401;
    });
    const again = await ada.open(`${royalty}/statements`);
    expect(again.text.includes("kc-form-login"), `shown ${again.url}`);
    await signIn(ada, deep, "ada");
  });

  await check("logout ends the session here and at Keycloak", async () => {
    const asked = await ada.open(`${royalty}/.lychgate/logout`);
    const page = await ada.submit(asked);
    expect(page.url.startsWith(`${royalty}/.lychgate/signed-out`), `the walk ended at ${page.url}: ${page.text}`);
    const again = await ada.open(`${royalty}/statements`);
    expect(again.text.includes("kc-form-login"), `shown ${again.url}`);
  });

  await check("another person signs in and is told apart", async () => {
    const { headers } = told(await signIn(new Visitor(), `${royalty}/admin/payouts`, "grace"));
    expectSame("X-Remote-User", headers["x-remote-user"], "grace");
    expectSame("X-Remote-Name", headers["x-remote-name"], encodeURIComponent("Gráce Ünïcode"));
  });

  await check("the log holds no secret and no code", async () => {
    expectSame("the end of the gateway", await stop(gateway), "ended with 0");
    const log = said(gateway);
    expect(log.includes("/statements"), "there is no access log to look at");
    for (const secret of [CLIENT.secret, "code="]) expect(!log.includes(secret), `the log holds ${secret}`);
  });
});
