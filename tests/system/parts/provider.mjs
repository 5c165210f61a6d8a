// A certified OpenID provider, npm `oidc-provider`, on a free port of loopback, with a sign-in form of its own.
//
// It knows a few people, by name and password, and one relying party. Everything else is the package's default: PKCE,
// single sign-on, a page that asks before signing out.

import { createServer } from "node:http";
import { once } from "node:events";
import { keepingEverything } from "./memory.mjs";
import { installed } from "./setting.mjs";

export const PASSWORD = "correct horse battery staple";

const PEOPLE = {
  ada: { email: "ada@gmr.example", name: "Ada Example", groups: ["royalty-artists", "staff"] },
  grace: { email: "grace@gmr.example", name: "Gráce Ünïcode", groups: ["royalty-admins", "staff"] },
};

export const CLIENT = { id: "lychgate", secret: "the secret of the system tests, long enough" };

/** The level that a sign-in reaches when none of these was asked for. */
export const LEVELS = ["urn:gmr:loa:1", "urn:gmr:loa:2"];

/**
 * Starts the provider; `redirects` and `afterLogout` are the relying party's registered addresses, `groups` adds to people's.
 * With `key`, the relying party's public JWK, it must sign assertions with it and push its requests. With `api`, an address, it gets access
 * tokens for that (RFC 9068) by its own credentials.
 */
export async function startProvider(options) {
  const { redirects, afterLogout = [], claimsInIdToken = true, groups = {}, key, backChannel, api } = options;
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { Provider } = installed("oidc-provider");
  const provider = new Provider(issuer, configuration({ redirects, afterLogout, claimsInIdToken, groups, key, backChannel, api }));
  const counts = { signIns: 0, codes: 0, pushed: 0, refreshes: 0, revokedGrants: 0, messages: 0 };
  provider.on("authorization_code.consumed", () => counts.codes++);
  provider.on("refresh_token.consumed", () => counts.refreshes++);
  provider.on("grant.revoked", () => counts.revokedGrants++);
  provider.on("backchannel.success", () => counts.messages++);
  provider.on("pushed_authorization_request.success", () => counts.pushed++);
  const standard = provider.callback();
  server.on("request", (incoming, answer) => {
    if (!incoming.url.startsWith("/interaction/")) return standard(incoming, answer);
    interact(provider, counts, incoming, answer).catch((error) => {
      answer.writeHead(500).end(String(error.stack));
    });
  });
  server.unref();
  return { issuer, counts };
}

function configuration({ redirects, afterLogout, claimsInIdToken, groups, key, backChannel, api }) {
  const credentials = key
    ? { token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "ES256", jwks: { keys: [key] } }
    : { client_secret: CLIENT.secret };
  return {
    clients: [
      {
        client_id: CLIENT.id,
        ...credentials,
        redirect_uris: redirects,
        post_logout_redirect_uris: afterLogout,
        grant_types: ["authorization_code", "refresh_token", ...(api ? ["client_credentials"] : [])],
        ...(backChannel && { backchannel_logout_uri: backChannel, backchannel_logout_session_required: true }),
      },
    ],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups"],
    },
    scopes: ["openid", "offline_access"],
    conformIdTokenClaims: !claimsInIdToken,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: Boolean(backChannel) },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: Boolean(key) },
      clientCredentials: { enabled: Boolean(api) },
      ...(api && { resourceIndicators: { enabled: true, getResourceServerInfo: resource(api) } }),
    },
    adapter: keepingEverything(),
    // With a back channel the provider is at its fullest: refresh tokens too, each good once.
    ...(backChannel && { issueRefreshToken: () => true, rotateRefreshToken: true, fetch: onLoopback }),
    acrValues: LEVELS,
    interactions: { policy: askingForLevels(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ["a cookie key of the system tests"] },
    findAccount: (_, name) => findAccount(name, groups),
    loadExistingGrant: grantEverything,
  };
}

/** The one address that access tokens are given for. */
function resource(api) {
  const { errors } = installed("oidc-provider");
  return (_, asked) => {
    if (asked !== api) throw new errors.InvalidTarget();
    return { scope: "", audience: api, accessTokenFormat: "jwt" };
  };
}

/** An access token for `api`, by the relying party's own credentials. */
export async function accessToken(issuer, api) {
  const credentials = [CLIENT.id, CLIENT.secret].map(encodeURIComponent).join(":");
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", resource: api }),
  });
  if (!answer.ok) throw new Error(`no access token: ${answer.status} ${await answer.text()}`);
  return (await answer.json()).access_token;
}

/** The package's own dispatcher sends nothing to loopback. */
function onLoopback(url, { dispatcher, ...options }) {
  return fetch(url, options);
}

/** Whoever is signed in at too low a level is asked again; the package itself takes `acr_values` for a wish. */
function askingForLevels() {
  const { interactionPolicy } = installed("oidc-provider");
  const { Check, base } = interactionPolicy;
  const policy = base();
  policy.get("login").checks.add(
    new Check("level_not_reached", "a stronger sign-in is needed", "unmet_authentication_requirements", (context) => {
      const wanted = (context.oidc.params.acr_values ?? "").split(" ").filter(Boolean);
      const reached = context.oidc.session?.acr ?? LEVELS[0];
      return wanted.length > 0 && !wanted.includes(reached) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
    }),
  );
  return policy;
}

function findAccount(name, more) {
  const person = PEOPLE[name];
  if (!person) return undefined;
  const groups = [...person.groups, ...(more[name] ?? [])];
  const claims = { sub: name, preferred_username: name, email_verified: true, ...person, groups };
  return { accountId: name, claims: () => claims };
}

/** The people here were asked for their consent when they were hired. */
async function grantEverything(context) {
  const { client, session, provider } = context.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope("openid profile email groups offline_access");
  await grant.save();
  return grant;
}

async function interact(provider, counts, incoming, answer) {
  if (incoming.method === "POST") {
    const form = new URLSearchParams(await bodyOf(incoming));
    const [login, password] = [form.get("login"), form.get("password")];
    if (PEOPLE[login] && password === PASSWORD) {
      counts.signIns++;
      const { params } = await provider.interactionDetails(incoming, answer);
      const acr = (params.acr_values ?? "").split(" ").find((level) => LEVELS.includes(level)) ?? LEVELS[0];
      return provider.interactionFinished(incoming, answer, { login: { accountId: login, acr } });
    }
  }
  answer.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(
    `<title>Sign in</title><form method="post"><input name="login"><input name="password" type="password"></form>`,
  );
}

async function bodyOf(incoming) {
  let text = "";
  for await (const part of incoming) text += part;
  return text;
}

/** Opens a page of an application that needs a login, and signs in when the provider asks for it. */
export async function signIn(visitor, address, login) {
  const page = await visitor.open(address);
  return visitor.submit(page, { login, password: PASSWORD });
}

/** Signs out at the gateway and at the provider, whose page asks first; the last page is the gateway's. */
export async function signOut(visitor, origin, issuer) {
  let page = await visitor.open(`${origin}/.lychgate/logout`);
  for (let step = 0; step < 3 && /<form/i.test(page.text) && !page.url.includes("/signed-out"); step++) {
    page = await visitor.submit(page, page.url.startsWith(issuer) ? { logout: "yes" } : {});
  }
  return page;
}
