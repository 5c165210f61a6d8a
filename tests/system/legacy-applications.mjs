// Applications that take identity in headers, each with its policy from policies/templates: Radicale, a Django site, and
// PHP and CGI under Apache.
//
// Each application itself says who is signed in. Each of them believes the header from whoever reaches its port, which is
// shown first: what keeps forged headers from it is the gateway alone.

import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { forgeries } from "./parts/forgery.mjs";
import { fromTemplate } from "./parts/template.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { freePort, listens, start, untilReady } from "./parts/program.mjs";
import { signIn, signOut, startProvider } from "./parts/provider.mjs";
import { applications } from "./parts/setting.mjs";
import { Visitor } from "./parts/visitor.mjs";

const FORGED = "mallory";
// Debian's own Python is the one that has Debian's Django.
const PYTHON = "/usr/bin/python3";

/** The groups that the templates speak of. */
const GROUPS = {
  ada: ["calendar-users", "intranet-users", "reports-readers"],
  grace: ["calendar-users", "intranet-users", "intranet-admins", "reports-readers", "reports-editors"],
};

function startRadicale(folder, port) {
  const file = join(folder, "radicale.conf");
  writeFileSync(
    file,
    `[server]
hosts = 127.0.0.1:${port}
[auth]
type = http_x_remote_user
[rights]
type = owner_only
[storage]
filesystem_folder = ${folder}/collections
`,
  );
  return start("Radicale", "radicale", ["--config", file], { log: join(folder, "radicale.log") });
}

function startDjango(folder, port) {
  const parameters = [join(applications, "site.py"), String(port), folder];
  return start("Django", PYTHON, parameters, { log: join(folder, "django.log") });
}

/** Apache drops root, so what it serves lies where everybody may read. */
function startApache(folder, port) {
  const served = mkdtempSync(join(tmpdir(), "lychgate-apache-"));
  process.once("exit", () => rmSync(served, { recursive: true, force: true }));
  chmodSync(served, 0o755);
  cpSync(join(applications, "reports"), served, { recursive: true });
  mkdirSync(join(served, "static"));
  cpSync(join(served, "index.php"), join(served, "static", "index.php"));
  mkdirSync(join(served, "sessions"));
  chmodSync(join(served, "sessions"), 0o777);
  const modules = "/usr/lib/apache2/modules";
  const php = readdirSync(modules).find((name) => /^libphp[\d.]*\.so$/.test(name));
  const loaded = ["mpm_prefork", "authz_core", "authz_host", "dir", "mime", "env", "setenvif", "cgi", "alias"];
  writeFileSync(
    join(folder, "apache.conf"),
    `ServerRoot ${folder}
ServerName reports.localhost
PidFile ${folder}/apache.pid
Mutex file:${folder}
DefaultRuntimeDir ${folder}
ErrorLog ${folder}/apache-errors.log
${loaded.map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join("\n")}
LoadModule php_module ${modules}/${php}
${process.getuid() === 0 ? "User www-data\nGroup www-data" : ""}
Listen 127.0.0.1:${port}
StartServers 4
MaxRequestWorkers 16
TypesConfig /etc/mime.types
DocumentRoot ${served}
DirectoryIndex index.php
ScriptAlias /cgi-bin/ ${served}/cgi-bin/
SetEnvIf X-Remote-User "^(.+)$" REMOTE_USER=$1
php_admin_value session.save_path ${served}/sessions
<Directory ${served}>
  Require ip 127.0.0.1
</Directory>
<FilesMatch "\\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
`,
  );
  return start("Apache", "apache2", ["-D", "FOREGROUND", "-f", join(folder, "apache.conf")], {
    log: join(folder, "apache.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

const PROPFIND = `<?xml version="1.0"?><propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`;

/** Whom Radicale has signed in: the name in the address of the principal. */
async function askRadicale(visitor, origin, headers = {}) {
  const all = { depth: "0", "content-type": "application/xml", ...headers };
  const page = await visitor.send(`${origin}/`, { method: "PROPFIND", headers: all, body: PROPFIND });
  const found = page.text.match(/<current-user-principal>\s*<href>\/([^/]*)\/<\/href>/);
  return { status: page.status, user: found ? decodeURIComponent(found[1]) : null, page };
}

async function askJson(visitor, address, headers) {
  const page = await visitor.send(address, { headers });
  const told = page.status === 200 ? JSON.parse(page.text) : {};
  return { status: page.status, user: told.user || null, told, page };
}

async function askCgi(visitor, origin, headers) {
  const page = await visitor.send(`${origin}/cgi-bin/list`, { headers });
  const told = Object.fromEntries(page.text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)));
  return { status: page.status, user: told.REMOTE_USER || null, told, page };
}

const APPLICATIONS = [
  {
    name: "calendar",
    title: "Radicale",
    template: "radicale",
    start: startRadicale,
    first: "/.web/",
    ask: askRadicale,
  },
  {
    name: "intranet",
    title: "Django",
    template: "django",
    start: startDjango,
    first: "/",
    ask: (visitor, origin, headers) => askJson(visitor, `${origin}/whoever`, headers),
    askPublic: (visitor, origin, headers) => askJson(visitor, `${origin}/static/whoever`, headers),
  },
  {
    name: "reports",
    title: "PHP under Apache",
    template: "cgi",
    start: startApache,
    first: "/",
    ask: (visitor, origin, headers) => askJson(visitor, `${origin}/`, headers),
    askPublic: (visitor, origin, headers) => askJson(visitor, `${origin}/static/index.php`, headers),
  },
];

const origin = (here, { name }) => `http://${name}.localhost:${here.port}`;

/** What must hold for every application, whatever it is. */
async function checkIdentity(application, at, ada, grace) {
  const { title, ask, askPublic } = application;
  const tries = [...forgeries("X-Remote-User", FORGED), ...forgeries("X-Remote-User", "grace")];
  const count = tries.length;

  await check(`${title}: the port itself believes anybody, which is why only the gateway may reach it`, async () => {
    const answer = await ask(new Visitor(), `http://127.0.0.1:${application.port}`, { "X-Remote-User": FORGED });
    expectSame("the user", answer.user, FORGED);
  });

  await check(`${title}: who signed in is signed in there, each person as themselves`, async () => {
    expectSame("Ada's name there", (await ask(ada, at)).user, "ada");
    expectSame("Grace's name there", (await ask(grace, at)).user, "grace");
  });

  await check(`${title}: ${count} forged headers do not change who a signed-in person is`, async () => {
    for (const { what, headers } of tries) {
      const answer = await ask(ada, at, headers);
      expectSame(`the status (${what})`, Math.floor(answer.status / 100), 2);
      expectSame(`the user (${what})`, answer.user, "ada");
    }
  });

  await check(`${title}: ${count} forged headers sign in nobody who has no session`, async () => {
    for (const { what, headers } of tries) {
      const answer = await ask(new Visitor(), at, headers);
      expectSame(`the status (${what})`, answer.status, 401);
      expectSame(`the user (${what})`, answer.user, null);
    }
  });

  if (!askPublic) return;
  await check(`${title}: on public paths forged headers are nobody, with and without a session`, async () => {
    for (const { what, headers } of tries) {
      for (const visitor of [ada, new Visitor()]) {
        const answer = await askPublic(visitor, at, headers);
        expectSame(`the status (${what})`, answer.status, 200);
        expectSame(`the user (${what})`, answer.user, null);
      }
    }
  });
}

async function checkSignOut({ title, first, ask, askPublic }, at, issuer) {
  await check(`${title}: signing out ends it, and the next person is the next person`, async () => {
    const visitor = new Visitor();
    await signIn(visitor, at + first, "ada");
    expectSame("the user", (await ask(visitor, at)).user, "ada");
    const page = await signOut(visitor, at, issuer);
    expect(page.url.startsWith(`${at}/.lychgate/signed-out`), `the walk ended at ${page.url}`);
    const after = await ask(visitor, at);
    expectSame("the status after it", after.status, 401);
    if (askPublic) expectSame("the user on public paths after it", (await askPublic(visitor, at)).user, null);
    await signIn(visitor, at + first, "grace");
    expectSame("the next user", (await ask(visitor, at)).user, "grace");
  });
}

async function checkRadicale(at, folder, ada, grace) {
  const calendar = `${at}/ada/work/`;
  const entry = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//GMR//tests//EN\r\nBEGIN:VEVENT\r\nUID:session-1\r\n" +
    "DTSTAMP:20260101T090000Z\r\nDTSTART:20260102T090000Z\r\nSUMMARY:Mixing\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
  const text = { "content-type": "text/calendar" };

  await check("Radicale: a calendar is made, written and read by its owner", async () => {
    expectSame("MKCALENDAR", (await ada.send(calendar, { method: "MKCALENDAR" })).status, 201);
    const written = await ada.send(`${calendar}session-1.ics`, { method: "PUT", headers: text, body: entry });
    expectSame("PUT", written.status, 201);
    const read = await ada.send(`${calendar}session-1.ics`);
    expect(read.text.includes("SUMMARY:Mixing"), read.text);
  });

  await check("Radicale: another person neither reads nor deletes it, whatever headers come along", async () => {
    for (const { headers } of [{ headers: {} }, ...forgeries("X-Remote-User", "ada")]) {
      expectSame("GET", (await grace.send(`${calendar}session-1.ics`, { headers })).status, 403);
      expectSame("DELETE", (await grace.send(calendar, { method: "DELETE", headers })).status, 403);
    }
    expectSame("its owner's GET", (await ada.send(`${calendar}session-1.ics`)).status, 200);
  });

  await check("Radicale: no home was made for anybody who did not sign in", async () => {
    const homes = readdirSync(join(folder, "collections", "collection-root")).filter((name) => !name.startsWith("."));
    // The one home was made by the request that went past the gateway.
    expectSame("the homes", homes.sort(), ["ada", "grace", FORGED]);
  });

  await check("Radicale: a method that the policy does not name is refused before it arrives", async () => {
    expectSame("LOCK", (await ada.send(calendar, { method: "LOCK" })).status, 403);
  });
}

async function checkDjango(at, ada, grace) {
  await check("Django: groups and address arrive with the person", async () => {
    const { told } = await askJson(ada, `${at}/whoever`);
    expectSame("Ada", told, { user: "ada", email: "ada@gmr.example", groups: ["intranet-users"] });
    const other = await askJson(grace, `${at}/whoever`);
    expectSame("Grace's groups", other.told.groups, ["intranet-admins", "intranet-users"]);
  });

  await check("Django: the administration greets the administrator by name, and is closed to others", async () => {
    const page = await grace.open(`${at}/admin/`);
    expectSame("the status", page.status, 200);
    expect(/<strong>grace<\/strong>/.test(page.text), page.text.slice(0, 2000));
    expectSame("Ada's status", (await ada.open(`${at}/admin/`)).status, 403);
  });

  await check("Django: a forged group makes nobody an administrator", async () => {
    for (const { what, headers } of forgeries("X-Remote-Groups", "intranet-admins")) {
      // Without its own session Django takes the groups from this very request.
      ada.cookies(new URL(at).hostname).delete("sessionid");
      const { told } = await askJson(ada, `${at}/whoever`, headers);
      expectSame(`the user (${what})`, told.user, "ada");
      expectSame(`the groups (${what})`, told.groups, ["intranet-users"]);
      expectSame(`the status (${what})`, (await ada.send(`${at}/admin/`, { headers })).status, 403);
    }
  });

  await check("Django: no account was made for anybody who did not sign in", async () => {
    const page = await grace.open(`${at}/admin/auth/user/`);
    const names = [...page.text.matchAll(/field-username"><a[^>]*>([^<]*)</g)].map((found) => found[1]);
    // The one account was made by the request that went past the gateway.
    expectSame("the accounts", names.sort(), ["ada", "grace", FORGED]);
  });
}

async function checkApache(at, ada, grace) {
  await check("PHP under Apache: name and groups arrive whole, and nothing else of theirs", async () => {
    const { told } = await askJson(grace, `${at}/`);
    expectSame("the name", told.name, "Gráce Ünïcode");
    expectSame("the groups", told.groups, ["reports-readers", "reports-editors"]);
    const names = Object.keys(told.told).filter((name) => name.startsWith("HTTP_X_REMOTE_"));
    const expected = ["EMAIL", "GROUPS", "NAME", "USER"].map((name) => `HTTP_X_REMOTE_${name}`);
    expectSame("the headers", names.sort(), expected);
  });

  await check("CGI under Apache: REMOTE_USER is the person, whatever is sent along", async () => {
    expectSame("Grace's name", (await askCgi(grace, at)).user, "grace");
    for (const { what, headers } of [{ what: "nothing", headers: {} }, ...forgeries("X-Remote-User", FORGED)]) {
      const answer = await askCgi(ada, at, headers);
      expectSame(`the user (${what})`, answer.user, "ada");
      expectSame(`the header (${what})`, answer.told.HTTP_X_REMOTE_USER, "ada");
      expect(!answer.page.text.includes(FORGED), `${what}: ${answer.page.text}`);
    }
  });

  await check("CGI under Apache: what is for editors is for editors", async () => {
    expectSame("Ada's status", (await ada.send(`${at}/cgi-bin/edit/2026`)).status, 403);
    expectSame("Grace's status", (await grace.send(`${at}/cgi-bin/edit/2026`)).status, 404);
  });
}

script(async () => {
  const here = await plan("legacy-applications");
  for (const application of APPLICATIONS) {
    application.port = await freePort();
    application.program = application.start(here.folder, application.port);
  }
  for (const { program, port } of APPLICATIONS) await untilReady(program, () => listens(port));

  const origins = APPLICATIONS.map((application) => origin(here, application));
  const provider = await startProvider({
    redirects: origins.map((at) => `${at}/.lychgate/callback`),
    afterLogout: origins.map((at) => `${at}/.lychgate/signed-out`),
    groups: GROUPS,
  });
  const policies = Object.fromEntries(
    APPLICATIONS.map(({ name, template, port }) => [
      `${name}.toml`,
      fromTemplate(template, `${name}.localhost`, `http://127.0.0.1:${port}`),
    ]),
  );
  await startGateway(here, { issuer: provider.issuer, policies });

  const [ada, grace] = [new Visitor(), new Visitor()];
  for (const [index, application] of APPLICATIONS.entries()) {
    const at = origins[index];
    for (const [visitor, name] of [[ada, "ada"], [grace, "grace"]]) {
      if (index === 0) await signIn(visitor, at + application.first, name);
      else await visitor.open(at + application.first);
    }
    await checkIdentity(application, at, ada, grace);
  }
  const [calendar, intranet, reports] = origins;
  await checkRadicale(calendar, here.folder, ada, grace);
  await checkDjango(intranet, ada, grace);
  await checkApache(reports, ada, grace);
  for (const [index, application] of APPLICATIONS.entries()) {
    await checkSignOut(application, origins[index], provider.issuer);
  }
});
