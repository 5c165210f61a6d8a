// The servers of the system test hostile-upstreams: each resolves targets and names headers in its own way.
//
// Each serves one secret and two pages that tell what they were told, in lines `NAME=value`. Where a server can be told to believe
// more than it does by default (encoded slashes, backslashes), it is.

import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { start } from "./program.mjs";
import { applications } from "./setting.mjs";

const HOSTILE = join(applications, "hostile");
const TOMCAT = "/usr/share/tomcat10";
export const SECRET = "the secret of the application";

/** A folder with a script at admin/, public/ and private/; everybody may read it, because servers drop root. */
function scripts(name, from, to) {
  const served = mkdtempSync(join(tmpdir(), `lychgate-${name}-`));
  process.once("exit", () => rmSync(served, { recursive: true, force: true }));
  chmodSync(served, 0o755);
  for (const folder of ["admin", "public", "private"]) {
    mkdirSync(join(served, folder));
    copyFileSync(join(HOSTILE, from), join(served, folder, to));
    chmodSync(join(served, folder, to), 0o755);
  }
  return served;
}

/** lighttpd with one more module and its setting. */
function startLighttpd(folder, port, served, module, setting) {
  const file = join(folder, `lighttpd-${port}.conf`);
  writeFileSync(
    file,
    `server.document-root = "${served}"
server.bind = "127.0.0.1"
server.port = ${port}
server.modules = ("${module}")
${setting}
`,
  );
  return start("lighttpd", "lighttpd", ["-D", "-f", file], {
    log: join(folder, `lighttpd-${port}.log`),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  });
}

const startCgi = (folder, port) =>
  startLighttpd(folder, port, scripts("lighttpd", "echo.cgi", "echo.cgi"), "mod_cgi", 'cgi.assign = (".cgi" => "/bin/sh")');

/** php-cgi as most use it: a few processes that lighttpd starts and speaks FastCGI with. */
function startPhpCgi(folder, port) {
  const processes = `"bin-path" => "/usr/bin/php-cgi", "socket" => "${folder}/php.sock", "max-procs" => 2`;
  const setting = `fastcgi.server = (".php" => ((${processes})))`;
  return startLighttpd(folder, port, scripts("php-cgi", "echo.php", "echo.php"), "mod_fastcgi", setting);
}

function startPhp(folder, port) {
  const served = scripts("php", "echo.php", "echo.php");
  return start("PHP", "php", ["-S", `127.0.0.1:${port}`, "-t", served], { log: join(folder, "php-server.log") });
}

function startWsgi(folder, port) {
  return start("Python", "python3", [join(HOSTILE, "echo.py"), String(port)], { log: join(folder, "wsgi-server.log") });
}

function startApache(folder, port) {
  const served = scripts("apache-cgi", "echo.cgi", "echo");
  // The same script under a name of its own: what it serves is in PATH_INFO.
  copyFileSync(join(served, "public", "echo"), join(served, "app"));
  chmodSync(join(served, "app"), 0o755);
  // Whatever is asked for outside of /cgi-bin is nowhere, so that no script is served as a text.
  mkdirSync(join(folder, "nothing"));
  const modules = "/usr/lib/apache2/modules";
  const loaded = ["mpm_prefork", "authz_core", "authz_host", "cgi", "alias"];
  const file = join(folder, "apache-cgi.conf");
  writeFileSync(
    file,
    `ServerRoot ${folder}
ServerName apache.localhost
PidFile ${folder}/apache-cgi.pid
Mutex file:${folder}
DefaultRuntimeDir ${folder}
ErrorLog ${folder}/apache-cgi-errors.log
${loaded.map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join("\n")}
${process.getuid() === 0 ? "User www-data\nGroup www-data" : ""}
Listen 127.0.0.1:${port}
StartServers 8
MaxRequestWorkers 16
DocumentRoot ${folder}/nothing
ScriptAlias /cgi-bin/ ${served}/
AllowEncodedSlashes On
<Directory ${served}>
  Require ip 127.0.0.1
</Directory>
`,
  );
  return start("Apache", "apache2", ["-D", "FOREGROUND", "-f", file], {
    log: join(folder, "apache-cgi.log"),
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
    // Told to end, Apache ends its whole process group.
    group: true,
  });
}

function startTomcat(folder, port) {
  const base = join(folder, "tomcat-hostile");
  for (const name of ["conf", "logs", "temp", "work", "webapps"]) mkdirSync(join(base, name), { recursive: true });
  cpSync(join(HOSTILE, "webapp"), join(base, "webapps", "app"), { recursive: true });
  writeFileSync(
    join(base, "conf", "server.xml"),
    `<Server port="-1">
  <Service name="Catalina">
    <Connector port="${port}" address="127.0.0.1" protocol="HTTP/1.1" encodedSolidusHandling="decode" allowBackslash="true" />
    <Engine name="Catalina" defaultHost="localhost">
      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false" />
    </Engine>
  </Service>
</Server>
`,
  );
  return start("Tomcat", join(TOMCAT, "bin", "catalina.sh"), ["run"], {
    log: join(folder, "tomcat-hostile.log"),
    env: { CATALINA_HOME: TOMCAT, CATALINA_BASE: base, CATALINA_OPTS: "-Xmx128m -XX:TieredStopAtLevel=1" },
  });
}

/** Node's http with what applications do by hand: decode, resolve, compare without regard to case. */
function startNode(folder, port) {
  createServer((asked, answer) => {
    let path = asked.url.split("?")[0];
    try {
      path = posix.normalize(decodeURIComponent(path)).toLowerCase();
    } catch {
      answer.writeHead(400).end();
      return;
    }
    const lines = [];
    for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}=${asked.rawHeaders[at + 1]}`);
    for (let at = 0; at < asked.rawTrailers.length; at += 2) lines.push(`${asked.rawTrailers[at]}=${asked.rawTrailers[at + 1]}`);
    asked.resume().on("end", () => answer.end(`${path.startsWith("/admin/") ? SECRET : ""}\n${lines.join("\n")}`));
  })
    .listen(port, "127.0.0.1")
    .unref();
  return { name: "Node", ended: null };
}

/**
 * `bases` are the places of the folders admin, public and private, `page` is the page in each of them, and `ways` the least number of
 * spellings by which the secret is reached directly, `names`
 * of spellings of a header that it believes.
 */
export const SERVERS = [
  { name: "lighttpd", names: 40, title: "lighttpd CGI", start: startCgi, bases: [""], page: "echo.cgi", ways: 20 },
  { name: "apache", names: 1, title: "Apache CGI", start: startApache, bases: ["/cgi-bin", "/cgi-bin/app"], page: "echo", ways: 20 },
  { name: "php", names: 1, title: "PHP's own server", start: startPhp, bases: [""], page: "echo.php", ways: 10 },
  { name: "phpcgi", names: 40, title: "php-cgi", start: startPhpCgi, bases: [""], page: "echo.php", ways: 20 },
  { name: "wsgi", names: 1, title: "WSGI", start: startWsgi, bases: [""], page: "x", ways: 20 },
  { name: "tomcat", names: 1, title: "Tomcat", start: startTomcat, bases: ["/app"], page: "x", ways: 50 },
  { name: "node", names: 1, title: "Node", start: startNode, bases: [""], page: "x", ways: 20, ignoresCase: true },
];
