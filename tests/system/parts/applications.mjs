// The applications of the system test legacy-applications: how each is started, and how it says who is signed in.
//
// `ask` is any page of it, `askPublic` one that its policy makes public; both tell the status and the person.

import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "./program.mjs";
import { applications } from "./setting.mjs";

// Debian's own Python is the one that has Debian's Django.
const PYTHON = "/usr/bin/python3";
const TOMCAT = "/usr/share/tomcat10";

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
    // Told to end, Apache ends its whole process group.
    group: true,
  });
}

/** Tomcat with one application, whose page is a JSP. */
function startTomcat(folder, port) {
  const base = join(folder, "tomcat");
  for (const name of ["conf", "logs", "temp", "work", "webapps"]) mkdirSync(join(base, name), { recursive: true });
  cpSync(join(applications, "payroll"), join(base, "webapps", "payroll"), { recursive: true });
  writeFileSync(
    join(base, "conf", "server.xml"),
    `<Server port="-1">
  <Service name="Catalina">
    <Connector port="${port}" address="127.0.0.1" protocol="HTTP/1.1" />
    <Engine name="Catalina" defaultHost="localhost">
      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false">
        <Valve className="org.apache.catalina.valves.RemoteAddrValve" allow="127\\.0\\.0\\.1" />
      </Host>
    </Engine>
  </Service>
</Server>
`,
  );
  return start("Tomcat", join(TOMCAT, "bin", "catalina.sh"), ["run"], {
    log: join(folder, "tomcat.log"),
    env: { CATALINA_HOME: TOMCAT, CATALINA_BASE: base, CATALINA_OPTS: "-Xmx128m -XX:TieredStopAtLevel=1" },
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

export async function askJson(visitor, address, headers) {
  const page = await visitor.send(address, { headers });
  const told = page.status === 200 ? JSON.parse(page.text) : {};
  return { status: page.status, user: told.user || null, told, page };
}

export async function askCgi(visitor, origin, headers) {
  const page = await visitor.send(`${origin}/cgi-bin/list`, { headers });
  const told = Object.fromEntries(page.text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)));
  return { status: page.status, user: told.REMOTE_USER || null, told, page };
}

export const APPLICATIONS = [
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
  {
    name: "payroll",
    title: "Tomcat",
    template: "java",
    start: startTomcat,
    first: "/payroll/",
    ask: (visitor, origin, headers) => askJson(visitor, `${origin}/payroll/whoever`, headers),
    askPublic: (visitor, origin, headers) => askJson(visitor, `${origin}/payroll/static/whoever`, headers),
  },
];
