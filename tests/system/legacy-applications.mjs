// Applications that take identity in headers, each with its policy from policies/templates: Radicale, a Django site, PHP
// and CGI under Apache, and a JSP under Tomcat.
//
// Each application itself says who is signed in. Each of them believes the header from whoever reaches its port, which is
// shown first: what keeps forged headers from it is the gateway alone.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { check, expect, expectSame, script } from "./parts/report.mjs";
import { forgeries } from "./parts/forgery.mjs";
import { fromTemplate } from "./parts/template.mjs";
import { plan, startGateway } from "./parts/gateway.mjs";
import { APPLICATIONS, askCgi, askJson } from "./parts/applications.mjs";
import { freePort, listens, untilReady } from "./parts/program.mjs";
import { signIn, signOut, startProvider } from "./parts/provider.mjs";
import { Visitor } from "./parts/visitor.mjs";

const FORGED = "mallory";
/** The groups that the templates speak of. */
const GROUPS = {
  ada: ["calendar-users", "intranet-users", "reports-readers", "payroll-clerks"],
  grace: [
    "calendar-users",
    ...["intranet-users", "intranet-admins"],
    ...["reports-readers", "reports-editors"],
    ...["payroll-admins", "payroll-clerks"],
  ],
};

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

async function checkTomcat(at, ada, grace) {
  await check("Tomcat: name and roles arrive, in exactly one field, also beside forged ones", async () => {
    const { told } = await askJson(grace, `${at}/payroll/whoever`);
    expectSame("the name", told.name, "Gráce Ünïcode");
    expectSame("the roles", told.roles, "payroll-admins,payroll-clerks");
    for (const { what, headers } of forgeries("X-Remote-User", FORGED)) {
      const answer = await askJson(ada, `${at}/payroll/whoever`, headers);
      expectSame(`the fields (${what})`, answer.told.fields, ["ada"]);
      expectSame(`the person of the session (${what})`, answer.told.session, "ada");
    }
  });

  await check("Tomcat: no way of writing a path leads clerks to the administration", async () => {
    const ways = ["/payroll/admin/run", "/payroll//admin/run", "/payroll/./admin/run", "/payroll/x/../admin/run"];
    const tricks = ["/payroll/admin;x=1/run", "/payroll/;/admin/run", "/payroll/%61dmin/run", "/payroll/x/..;/admin/run"];
    for (const path of [...ways, ...tricks, "/payroll/static/..;/admin/run", "/payroll/static/%2e%2e/admin/run"]) {
      const { status } = await ada.send(at, { path });
      expect(status === 403 || status === 400, `${path} was answered with ${status}`);
    }
    // The provider did not say when she signed in, so she is sent there once more, where she still is.
    const page = await grace.open(`${at}/payroll/admin/run`);
    expectSame("an administrator's status", [page.status, page.url], [200, `${at}/payroll/admin/run`]);
    expectSame("and from then on", (await grace.send(`${at}/payroll/admin/run`)).status, 200);
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
  const [calendar, intranet, reports, payroll] = origins;
  await checkRadicale(calendar, here.folder, ada, grace);
  await checkDjango(intranet, ada, grace);
  await checkApache(reports, ada, grace);
  await checkTomcat(payroll, ada, grace);
  for (const [index, application] of APPLICATIONS.entries()) {
    await checkSignOut(application, origins[index], provider.issuer);
  }
});
