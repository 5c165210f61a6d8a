// Real applications behind the gateway: nginx with files and uploads, PHP, and Python's WSGI.
//
// Each of them reads headers in its own way; all must be told the right person, and none a forged one.

import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { freePort, listens, start, untilReady } from "./parts/program.mjs";
import { signIn, startProvider } from "./parts/provider.mjs";
import { applications } from "./parts/setting.mjs";
import { Visitor } from "./parts/visitor.mjs";

const MIB = 1024 * 1024;
const UPLOAD_LIMIT_MIB = 32;
const NAMES = ["files", "php", "wsgi"];

const FORGED = {
  "X-Remote-User": "mallory",
  X_Remote_User: "mallory",
  "x.remote.user": "mallory",
  "X-Remote_User": "mallory",
  "X-Remote-Groups": "mallory",
  "x!remote~groups": "mallory",
};

const policy = (host, port) => `[app]
hosts = ["${host}.localhost"]
upstream = "http://127.0.0.1:${port}"

[login]

[headers]
X-Remote-User = "\${user.preferred_username}"
X-Remote-Groups = { list = "\${user.groups}", separator = ";" }

[[rules]]
paths = ["/public/**"]
access = "public"

[[rules]]
allow = "'royalty-artists' in user.groups"
`;

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function startNginx(folder, port) {
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files", "ledger.bin"), randomBytes(3 * MIB));
  const text = `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
${process.getuid() === 0 ? "user root;" : ""}
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
    client_max_body_size ${UPLOAD_LIMIT_MIB}m;
    dav_methods PUT;
  }
}
`;
  writeFileSync(join(folder, "nginx.conf"), text);
  return start("nginx", "nginx", ["-p", folder, "-c", "nginx.conf"], {
    log: join(folder, "nginx.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

function startPhp(folder, port) {
  const parameters = ["-d", "post_max_size=64M", "-S", `127.0.0.1:${port}`, join(applications, "identity.php")];
  return start("PHP", "php", parameters, { log: join(folder, "php.log") });
}

function startWsgi(folder, port) {
  const parameters = [join(applications, "identity.py"), String(port)];
  return start("Python", "python3", parameters, { log: join(folder, "wsgi.log") });
}

script(async () => {
  const here = await plan("upstreams");
  const { folder } = here;
  const ports = { files: await freePort(), php: await freePort(), wsgi: await freePort() };
  const programs = {
    files: await startNginx(folder, ports.files),
    php: startPhp(folder, ports.php),
    wsgi: startWsgi(folder, ports.wsgi),
  };
  for (const name of NAMES) await untilReady(programs[name], () => listens(ports[name]));

  const origin = (name) => `http://${name}.localhost:${here.port}`;
  const provider = await startProvider({ redirects: NAMES.map((name) => `${origin(name)}/.lychgate/callback`) });
  const policies = Object.fromEntries(NAMES.map((name) => [`${name}.toml`, policy(name, ports[name])]));
  await startGateway(here, { issuer: provider.issuer, policies });

  const ada = new Visitor();
  await signIn(ada, `${origin("files")}/ledger.bin`, "ada");
  for (const name of ["php", "wsgi"]) await ada.open(`${origin(name)}/`);

  const ledger = readFileSync(join(folder, "files", "ledger.bin"));
  const file = `${origin("files")}/ledger.bin`;

  await check("nginx: a file arrives whole, with its validators", async () => {
    const page = await ada.send(file);
    expectSame("the status", page.status, 200);
    expectSame("the digest", digest(page.bytes), digest(ledger));
    expectSame("Content-Length", page.headers["content-length"], String(ledger.length));
    expect(page.headers.etag && page.headers["last-modified"], "no validators");
  });

  await check("nginx: HEAD tells the length and sends nothing", async () => {
    const page = await ada.send(file, { method: "HEAD" });
    expectSame("Content-Length", page.headers["content-length"], String(ledger.length));
    expectSame("the body", page.bytes.length, 0);
  });

  await check("nginx: a range is a range", async () => {
    const page = await ada.send(file, { headers: { range: "bytes=1000000-1000099" } });
    expectSame("the status", page.status, 206);
    expectSame("Content-Range", page.headers["content-range"], `bytes 1000000-1000099/${ledger.length}`);
    expectSame("the bytes", digest(page.bytes), digest(ledger.subarray(1_000_000, 1_000_100)));
  });

  await check("nginx: several ranges come as one multipart answer", async () => {
    const page = await ada.send(file, { headers: { range: "bytes=0-9,20-29" } });
    expectSame("the status", page.status, 206);
    expect(page.headers["content-type"].startsWith("multipart/byteranges"), page.headers["content-type"]);
    expect(page.bytes.includes(ledger.subarray(20, 30)), "the second range is missing");
  });

  await check("nginx: an impossible range is 416, an unchanged file 304", async () => {
    const beyond = await ada.send(file, { headers: { range: `bytes=${ledger.length}-` } });
    expectSame("the status", beyond.status, 416);
    const known = await ada.send(file, { headers: { "if-none-match": (await ada.send(file)).headers.etag } });
    expectSame("the status", known.status, 304);
    expectSame("the body", known.bytes.length, 0);
  });

  await check("nginx: a large upload arrives byte for byte", async () => {
    const body = randomBytes(24 * MIB);
    const answer = await ada.send(`${origin("files")}/uploaded.bin`, { method: "PUT", body });
    expectSame("the status", answer.status, 201);
    expectSame("the digest", digest(readFileSync(join(folder, "files", "uploaded.bin"))), digest(body));
  });

  await check("nginx: an upload over its limit is told 413, and the next request works", async () => {
    const body = Buffer.alloc((UPLOAD_LIMIT_MIB + 8) * MIB);
    const answer = await ada.send(`${origin("files")}/too-large.bin`, { method: "PUT", body });
    expectSame("the status", answer.status, 413);
    expectSame("the status after it", (await ada.send(file, { method: "HEAD" })).status, 200);
  });

  for (const [name, title] of [["php", "PHP"], ["wsgi", "WSGI"]]) {
    const page = async (path, options) => {
      const answer = await ada.send(origin(name) + path, options);
      expectSame("the status", answer.status, 200);
      return JSON.parse(answer.text);
    };

    await check(`${title}: the application is told who it is`, async () => {
      const { told } = await page("/statements");
      expectSame("the user", told.HTTP_X_REMOTE_USER, "ada");
      expectSame("the groups", told.HTTP_X_REMOTE_GROUPS, "royalty-artists;staff");
      expect(!("HTTP_COOKIE" in told), `it was given the cookie ${told.HTTP_COOKIE}`);
      expectSame("the host", told.HTTP_HOST, `${name}.localhost:${here.port}`);
      expectSame("the scheme", told.HTTP_X_FORWARDED_PROTO, "http");
    });

    await check(`${title}: no spelling of a forged header reaches the application`, async () => {
      const { told } = await page("/statements", { headers: FORGED });
      expectSame("the user", told.HTTP_X_REMOTE_USER, "ada");
      expectSame("the groups", told.HTTP_X_REMOTE_GROUPS, "royalty-artists;staff");
      expect(!JSON.stringify(told).includes("mallory"), `told ${JSON.stringify(told)}`);
    });

    await check(`${title}: nor on a public path, where nobody is signed in`, async () => {
      const answer = await new Visitor().send(`${origin(name)}/public/page`, { headers: FORGED });
      expectSame("the status", answer.status, 200);
      const { told } = JSON.parse(answer.text);
      expect(!("HTTP_X_REMOTE_USER" in told), `told ${JSON.stringify(told)}`);
      expect(!JSON.stringify(told).includes("mallory"), `told ${JSON.stringify(told)}`);
    });

    await check(`${title}: a body of 5 MiB arrives byte for byte`, async () => {
      const body = randomBytes(5 * MIB);
      const headers = { "content-type": "application/octet-stream" };
      const seen = await page("/upload", { method: "POST", headers, body });
      expectSame("the length", seen.length, body.length);
      expectSame("the digest", seen.sha256, digest(body));
    });
  }

  await check("PHP: a form is a form", async () => {
    const headers = { "content-type": "application/x-www-form-urlencoded", origin: origin("php") };
    const answer = await ada.send(`${origin("php")}/pay`, { method: "POST", headers, body: "to=ada&sum=12%2C50" });
    expectSame("the form", JSON.parse(answer.text).form, { to: "ada", sum: "12,50" });
  });
});
