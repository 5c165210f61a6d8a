// Real load balancers in front: HAProxy and nginx, which say in PROXY headers whom they speak for.
//
// Clients come from addresses of their own in 127.0.0.0/8. Each way must tell the application and the log the client's address, and
// nothing that a client says of itself.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { startApplication, told } from "./parts/echo.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { freePort, listens, said, start, untilReady } from "./parts/program.mjs";
import { startProvider } from "./parts/provider.mjs";
import { ask } from "./parts/wire.mjs";

const HOST = "catalogue.localhost";
const CLIENT = "127.0.0.77";
const DENIED = "127.0.0.66";

const policy = (upstream) => `[app]
hosts = ["${HOST}"]
upstream = "${upstream}"

[[rules]]
access = "public"
`;

function startHaproxy(folder, ports, gateway) {
  const listen = (name, port, how) => `listen ${name}
  bind 127.0.0.1:${port}
  server gateway 127.0.0.1:${gateway} check inter 200ms ${how}
`;
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    `global
  maxconn 200
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${listen("version1", ports.haproxy1, "send-proxy check-send-proxy")}
${listen("version2", ports.haproxy2, "send-proxy-v2 check-send-proxy proxy-v2-options unique-id,crc32c")}
${listen("silent", ports.silent, "")}
`,
  );
  return start("HAProxy", "haproxy", ["-db", "-f", file], {
    log: join(folder, "haproxy.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

function startNginx(folder, port, gateway) {
  writeFileSync(
    join(folder, "nginx.conf"),
    `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
${process.getuid() === 0 ? "user root;" : ""}
events { worker_connections 256; }
stream {
  server {
    listen 127.0.0.1:${port};
    proxy_protocol on;
    proxy_pass 127.0.0.1:${gateway};
  }
}
`,
  );
  return start("nginx", "nginx", ["-p", folder, "-c", "nginx.conf"], {
    log: join(folder, "nginx.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

script(async () => {
  const here = await plan("load-balancers");
  const { folder } = here;
  const behind = await freePort();
  const ports = { haproxy1: await freePort(), haproxy2: await freePort(), silent: await freePort(), nginx: await freePort() };
  const provider = await startProvider({ redirects: [`http://${HOST}:${here.port}/.lychgate/callback`] });
  const gateway = await startGateway(here, {
    issuer: provider.issuer,
    policies: { "catalogue.toml": policy(await startApplication()) },
    top: `trusted_proxies = ["127.0.0.1"]`,
    extra: `[[listeners]]
address = "127.0.0.1:${behind}"
proxy_protocol = true
deny = ["${DENIED}"]

[limits]
connections_per_address = 8
`,
  });
  const haproxy = startHaproxy(folder, ports, behind);
  const nginx = startNginx(folder, ports.nginx, behind);
  for (const name of ["haproxy1", "haproxy2", "silent"]) await untilReady(haproxy, () => listens(ports[name]));
  await untilReady(nginx, () => listens(ports.nginx));

  const ways = [["HAProxy, version 1", "haproxy1"], ["HAProxy, version 2", "haproxy2"], ["nginx", "nginx"]];
  for (const [title, way] of ways) {
    await check(`${title}: application and log are told the client's address`, async () => {
      const page = await ask(ports[way], { host: HOST, path: `/by/${way}`, from: CLIENT });
      expectSame("X-Forwarded-For", told({ ...page, url: way }).headers["x-forwarded-for"], CLIENT);
    });

    await check(`${title}: an address that the listener denies is turned away`, async () => {
      const page = await ask(ports[way], { host: HOST, from: DENIED });
      expect(page.error, `it was answered ${page.status}`);
    });
  }

  await check("the log has each client", async () => {
    await untilReady(gateway, () => ways.every(([, way]) => said(gateway).includes(`/by/${way}`)));
    const lines = said(gateway).split("\n").filter((line) => line.startsWith("{") && line.includes("/by/"));
    expectSame("the clients", lines.map((line) => JSON.parse(line).client), ways.map(() => CLIENT));
  });

  await check("HAProxy's health checks succeed", () => {
    expect(!said(haproxy).includes("version1/gateway is DOWN"), said(haproxy));
    expect(!said(haproxy).includes("version2/gateway is DOWN"), said(haproxy));
  });

  await check("a load balancer that sends no header gets nothing", async () => {
    const page = await ask(ports.silent, { host: HOST, from: CLIENT });
    expect(page.error, `it was answered ${page.status}`);
  });

  await check("who comes past the load balancer is turned away, whatever it sends", async () => {
    const page = await ask(behind, { host: HOST, from: CLIENT });
    expect(page.error, `it was answered ${page.status}`);
    const text = await gateway.metrics();
    for (const reason of ["network", "proxy_untrusted", "proxy_header"]) {
      expect(text.includes(`lychgate_connections_turned_away_total{reason="${reason}"} `), `no ${reason} in ${text}`);
    }
  });
});
