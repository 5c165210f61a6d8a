// Keycloak, a second certified OpenID provider, written by other people in another language than the first.
//
// tests/run unpacks the distribution below the target folder. It runs in development mode with its database in memory;
// the realm comes from a file that is made here: a few people, their groups, one relying party.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join as pathOf } from "node:path";
import { freePort, start, untilReady } from "./program.mjs";
import { CLIENT, PASSWORD } from "./provider.mjs";
import { target } from "./setting.mjs";

const REALM = "gmr";
const READY_MS = 120_000;
const distribution = pathOf(target, "system", "keycloak");

/** Starts Keycloak with our realm; `client` are further settings of the relying party. */
export async function startKeycloak({ folder, redirects, afterLogout, client = {} }) {
  const program = pathOf(distribution, "bin", "kc.sh");
  if (!existsSync(program)) throw new Error(`Keycloak is not unpacked in ${distribution}`);
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}/realms/${REALM}`;
  const imported = pathOf(distribution, "data", "import");
  rmSync(pathOf(distribution, "data"), { recursive: true, force: true });
  mkdirSync(imported, { recursive: true });
  writeFileSync(pathOf(imported, `${REALM}.json`), JSON.stringify(realm({ redirects, afterLogout, client })));
  const options = ["start-dev", "--db=dev-mem", "--import-realm", "--http-host=127.0.0.1", `--http-port=${port}`];
  const keycloak = start("Keycloak", program, options, {
    log: pathOf(folder, "keycloak.log"),
    cwd: folder,
    env: { KC_BOOTSTRAP_ADMIN_USERNAME: "admin", KC_BOOTSTRAP_ADMIN_PASSWORD: PASSWORD },
    group: true,
  });
  await untilReady(keycloak, () => answers(`${issuer}/.well-known/openid-configuration`), READY_MS);
  return { issuer, origin: new URL(issuer).origin, program: keycloak };
}

/** Ends somebody's sessions as an administrator does in Keycloak's console. */
export async function endSessions(keycloak, login) {
  const { id } = await one(keycloak, `users?exact=true&username=${login}`);
  await administer(keycloak, `users/${id}/logout`, { method: "POST" });
}

/** Makes somebody a member of a group. */
export async function join(keycloak, login, group) {
  const person = await one(keycloak, `users?exact=true&username=${login}`);
  const joined = await one(keycloak, `groups?exact=true&search=${group}`);
  await administer(keycloak, `users/${person.id}/groups/${joined.id}`, { method: "PUT" });
}

async function one(keycloak, query) {
  const [found] = JSON.parse(await administer(keycloak, query));
  return found;
}

async function administer({ origin }, path, { method = "GET" } = {}) {
  const headers = { authorization: `Bearer ${await adminToken(origin)}` };
  const answer = await ask(`${origin}/admin/realms/${REALM}/${path}`, { method, headers });
  if (answer.status >= 300) throw new Error(`Keycloak answers ${answer.status} to ${path}: ${answer.text}`);
  return answer.text;
}

async function adminToken(origin) {
  const form = { grant_type: "password", client_id: "admin-cli", username: "admin", password: PASSWORD };
  const answer = await ask(`${origin}/realms/master/protocol/openid-connect/token`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(form).toString(),
  });
  return JSON.parse(answer.text).access_token;
}

function realm({ redirects, afterLogout, client }) {
  const { attributes = {}, ...more } = client;
  return {
    realm: REALM,
    enabled: true,
    sslRequired: "none",
    // A refresh token is good once; using it again ends the grant.
    revokeRefreshToken: true,
    refreshTokenMaxReuse: 0,
    groups: [{ name: "staff" }, { name: "royalty-admins" }, { name: "royalty-artists" }],
    roles: { realm: [{ name: "payouts" }] },
    users: [
      person("ada", "Ada", "Example", ["staff", "royalty-artists"]),
      person("grace", "Gráce", "Ünïcode", ["staff", "royalty-admins"], ["payouts"]),
    ],
    clients: [
      {
        clientId: CLIENT.id,
        secret: CLIENT.secret,
        protocol: "openid-connect",
        publicClient: false,
        standardFlowEnabled: true,
        redirectUris: redirects,
        attributes: { "post.logout.redirect.uris": afterLogout.join("##"), ...attributes },
        protocolMappers: [groupsInTokens()],
        ...more,
      },
    ],
  };
}

function person(username, firstName, lastName, groups, realmRoles = []) {
  return {
    username,
    firstName,
    lastName,
    email: `${username}@gmr.example`,
    emailVerified: true,
    enabled: true,
    credentials: [{ type: "password", value: PASSWORD, temporary: false }],
    groups: groups.map((name) => `/${name}`),
    realmRoles,
  };
}

function groupsInTokens() {
  return {
    name: "groups",
    protocol: "openid-connect",
    protocolMapper: "oidc-group-membership-mapper",
    config: { "claim.name": "groups", "full.path": "false", "id.token.claim": "true", "userinfo.token.claim": "true" },
  };
}

async function answers(address) {
  try {
    return (await ask(address)).status === 200;
  } catch {
    return false;
  }
}

function ask(address, { method = "GET", headers = {}, body } = {}) {
  return new Promise((done, failed) => {
    const sent = request(address, { method, headers, agent: false, timeout: 10_000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => (text += part)).on("error", failed);
      answer.on("end", () => done({ status: answer.statusCode, text }));
    });
    sent.on("error", failed).on("timeout", () => sent.destroy(new Error(`no answer from ${address}`)));
    sent.end(body);
  });
}
