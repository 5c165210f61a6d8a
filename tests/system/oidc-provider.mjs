// A certified OpenID provider and the gateway as its relying party: login, claims, single sign-on, logout; then pushed requests,
// a signed assertion and step-up (parts/strict.mjs); then refreshes with rotation and the back channel (parts/signals.mjs).

import { startApplication, told } from "./parts/echo.mjs";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { said, stop } from "./parts/program.mjs";
import { signIn, signOut, startProvider } from "./parts/provider.mjs";
import { signalled } from "./parts/signals.mjs";
import { strictly } from "./parts/strict.mjs";
import { Visitor } from "./parts/visitor.mjs";

const HOST = "royalty.localhost";
const SECOND = "archives.localhost";

const policy = (host, upstream) => `[app]
hosts = ["${host}"]
upstream = "${upstream}"

[login]

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

script(async () => {
  const here = await plan("oidc-provider");
  const [royalty, archives] = [HOST, SECOND].map((host) => `http://${host}:${here.port}`);
  const provider = await startProvider({
    redirects: [royalty, archives].map((origin) => `${origin}/.lychgate/callback`),
    afterLogout: [royalty, archives].map((origin) => `${origin}/.lychgate/signed-out`),
    claimsInIdToken: false,
  });
  const upstream = await startApplication();
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    provider: "userinfo = true",
    policies: { "royalty.toml": policy(HOST, upstream), "archives.toml": policy(SECOND, upstream) },
  });

  const ada = new Visitor();
  const deep = `${royalty}/statements/2024?quarter=3&next=https%3A%2F%2Fexample.org%2F`;

  await check("the login leads to the provider with PKCE, state and nonce", async () => {
    const page = await ada.open(deep);
    const asked = new URL(page.trail.find((address) => address.startsWith(provider.issuer)));
    const given = (name) => asked.searchParams.get(name) ?? "";
    expectSame("code_challenge_method", given("code_challenge_method"), "S256");
    for (const name of ["code_challenge", "state", "nonce"]) {
      expect(given(name).length >= 22, `${name} is too short: ${given(name)}`);
    }
    expect(page.url.includes("/interaction/"), `the provider shows ${page.url}`);
  });

  await check("after the login the page asked for is shown, deep link and query kept", async () => {
    const page = await signIn(ada, deep, "ada");
    expectSame("the address", page.url, deep);
    expectSame("the application's view", told(page).url, "/statements/2024?quarter=3&next=https%3A%2F%2Fexample.org%2F");
    expectSame("codes redeemed", provider.counts.codes, 1);
  });

  await check("the claims of the provider arrive as identity headers", async () => {
    const { headers } = told(await ada.open(`${royalty}/statements`));
    expectSame("X-Remote-User", headers["x-remote-user"], "ada");
    expectSame("X-Remote-Email", headers["x-remote-email"], "ada@gmr.example");
    expectSame("X-Remote-Groups", headers["x-remote-groups"], "royalty-artists;staff");
    expectSame("X-Remote-Name", headers["x-remote-name"], "Ada%20Example");
  });

  await check("the session cookie stays with the gateway", async () => {
    const { headers } = told(await ada.open(`${royalty}/statements`));
    expectSame("Cookie", headers.cookie, undefined);
    expect(ada.cookies(HOST).has("lychgate"), `cookies: ${[...ada.cookies(HOST).keys()]}`);
  });

  await check("a forged identity header does not reach the application", async () => {
    const forged = { "x-remote-user": "grace", "X_Remote_User": "grace", "x.remote.email": "grace@gmr.example" };
    const { headers } = told(await ada.open(`${royalty}/statements`, { headers: forged }));
    expectSame("X-Remote-User", headers["x-remote-user"], "ada");
    expect(!JSON.stringify(headers).includes("grace"), `told ${JSON.stringify(headers)}`);
  });

  await check("a rule on groups refuses what it should", async () => {
    const page = await ada.open(`${royalty}/admin/payouts`);
    expectSame("the status", page.status, 403);
    expectSame("the address", page.url, `${royalty}/admin/payouts`);
  });

  await check("a second application needs no second sign-in", async () => {
    const before = provider.counts.signIns;
    const page = await ada.open(`${archives}/search?q=dat`);
    expectSame("X-Remote-User", told(page).headers["x-remote-user"], "ada");
    expect(page.trail.some((address) => address.startsWith(provider.issuer)), "the provider was not asked");
    expectSame("sign-ins", provider.counts.signIns, before);
  });

  await check("a background request without session gets 401 and no redirect", async () => {
    const answer = await new Visitor().send(`${royalty}/api`, { headers: { accept: "application/json" } });
    expectSame("the status", answer.status, 401);
    expect(JSON.parse(answer.text) !== null, "no JSON");
  });

  await check("a callback with a state that nobody asked for signs nobody in", async () => {
    const stranger = new Visitor();
    const page = await stranger.send(`${royalty}/.lychgate/callback?code=made-up&state=made-up&iss=${provider.issuer}`);
    expect(page.status >= 300 && page.status !== 500, `the status is ${page.status}`);
    expect(!stranger.cookies(HOST).has("lychgate"), "a session was made");
    expectSame("codes redeemed", provider.counts.codes, 2);
  });

  const stolen = ada.cookies(HOST).get("lychgate");

  await check("logout ends the session here and at the provider", async () => {
    const page = await signOut(ada, royalty, provider.issuer);
    expect(page.url.startsWith(`${royalty}/.lychgate/signed-out`), `the walk ended at ${page.url}: ${page.text}`);
    expectSame("the status", page.status, 200);
    expect(!ada.cookies(HOST).has("lychgate"), "the cookie is still there");
  });

  await check("after logout the next visit asks for the password again", async () => {
    const page = await ada.open(`${royalty}/statements`);
    expect(page.url.includes("/interaction/"), `shown ${page.url}`);
    const grace = await ada.submit(page, { login: "grace", password: "wrong" });
    expect(grace.url.includes("/interaction/"), "a wrong password was accepted");
  });

  await check("another person signs in and is told apart", async () => {
    const page = await signIn(ada, `${royalty}/admin/payouts`, "grace");
    const { headers } = told(page);
    expectSame("X-Remote-User", headers["x-remote-user"], "grace");
    expectSame("X-Remote-Name", headers["x-remote-name"], encodeURIComponent("Gráce Ünïcode"));
    expect(stolen !== ada.cookies(HOST).get("lychgate"), "the session cookie did not change");
  });

  await check("the log holds no cookie, code or secret", async () => {
    expectSame("the end of the gateway", await stop(gateway), "ended with 0");
    const log = said(gateway);
    expect(log.includes("/statements"), "there is no access log to look at");
    for (const secret of [stolen, "the secret of the system tests", "code="]) {
      expect(!log.includes(secret), `the log holds ${secret}`);
    }
  });

  await strictly(upstream);
  await signalled(upstream);
});
