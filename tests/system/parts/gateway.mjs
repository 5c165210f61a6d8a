// The gateway under test: configuration files, a free port, and readiness.

import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { freePort, start, untilReady } from "./program.mjs";
import { CLIENT } from "./provider.mjs";
import { freshFolder, gatewayProgram } from "./setting.mjs";

const SCOPES = ["openid", "profile", "email", "groups"];

/** Reserves what must be known before the gateway starts: its folder and port. */
export async function plan(name) {
  return { folder: freshFolder(name), port: await freePort() };
}

/** Starts the gateway and waits until it knows its provider. `policies` maps file names to TOML. */
export async function startGateway(
  { folder, port },
  { issuer, scopes = SCOPES, provider = "", secret = true, policies, top = "", extra = "" },
) {
  const admin = await freePort();
  mkdirSync(join(folder, "policies"));
  for (const [name, text] of Object.entries(policies)) writeFileSync(join(folder, "policies", name), text);
  const file = join(folder, "lychgate.toml");
  writeFileSync(file, configuration({ port, admin, issuer, scopes, provider, secret, top, extra }));
  const log = join(folder, "lychgate.log");
  const gateway = start("the gateway", gatewayProgram, ["run", "--config", file], { log, cwd: folder });
  await untilReady(gateway, () => ready(admin));
  gateway.metrics = () => metrics(admin);
  return gateway;
}

function configuration({ port, admin, issuer, scopes, provider, secret, top, extra }) {
  const credentials = secret ? `client_secret = { value = "${CLIENT.secret}" }` : "";
  return `policies = ["policies"]
state = "state"
workers = 2
${top}

[[listeners]]
address = "127.0.0.1:${port}"

[providers.certified]
issuer = "${issuer}"
client_id = "${CLIENT.id}"
${credentials}
scopes = ${JSON.stringify(scopes)}
${provider}

[admin]
address = "127.0.0.1:${admin}"

${extra}
`;
}

function ready(port) {
  return new Promise((done) => {
    const asked = request({ host: "127.0.0.1", port, path: "/readyz", agent: false, timeout: 2000 }, (answer) => {
      answer.resume();
      done(answer.statusCode === 200);
    });
    asked.on("error", () => done(false)).on("timeout", () => asked.destroy());
    asked.end();
  });
}

/** The gateway's counters as text. */
function metrics(port) {
  return new Promise((done, failed) => {
    const asked = request({ host: "127.0.0.1", port, path: "/metrics", agent: false, timeout: 5000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => (text += part)).on("error", failed);
      answer.on("end", () => done(text));
    });
    asked.on("error", failed).on("timeout", () => asked.destroy(new Error("no metrics")));
    asked.end();
  });
}
