// A person's browser, reduced to what a login needs: cookies, redirects, forms.
//
// Names below `.localhost` are reached on loopback. Cookies are kept by host name, without regard to ports or paths, as
// browsers do where these tests live.

import { request } from "node:http";
import { request as requestOverTls } from "node:https";

const MOST_REDIRECTS = 12;
const NAVIGATION = {
  accept: "text/html,application/xhtml+xml",
  "sec-fetch-mode": "navigate",
  "sec-fetch-dest": "document",
  "sec-fetch-site": "none",
};

export class Visitor {
  #cookies = new Map();

  /** The cookies for a host, by name. */
  cookies(host) {
    if (!this.#cookies.has(host)) this.#cookies.set(host, new Map());
    return this.#cookies.get(host);
  }

  /** Sends one request, without following anything; `path` is sent as it stands, in place of the address' own. */
  async send(address, { method = "GET", headers = {}, body, path } = {}) {
    const url = new URL(address);
    const kept = this.cookies(url.hostname);
    const cookie = [...kept].map(([name, value]) => `${name}=${value}`).join("; ");
    const all = { host: url.host, ...(cookie && { cookie }), ...headers };
    const answer = await exchange(url, { method, headers: all, body, path });
    this.keep(url.hostname, answer.headers);
    return answer;
  }

  /** Keeps the cookies that an answer of a host sets. */
  keep(host, headers) {
    for (const line of headers["set-cookie"] ?? []) keep(this.cookies(host), line);
  }

  /** Opens a page as a person does: follows redirects, and tells the addresses on the way. */
  async open(address, { method = "GET", headers = {}, body } = {}) {
    const trail = [];
    for (let step = 0; step < MOST_REDIRECTS; step++) {
      const page = await this.send(address, { method, headers: { ...NAVIGATION, ...headers }, body });
      trail.push(page.url);
      const location = page.headers.location;
      if (page.status < 300 || page.status > 399 || !location) return { ...page, trail };
      address = new URL(location, page.url).href;
      if (page.status !== 307 && page.status !== 308) [method, headers, body] = ["GET", {}, undefined];
    }
    throw new Error(`redirected ${MOST_REDIRECTS} times: ${trail.join(" -> ")}`);
  }

  /** Fills in and submits the first form of a page. */
  async submit(page, fields = {}) {
    const form = page.text.match(/<form\b([^>]*)>([\s\S]*?)<\/form>/i);
    if (!form) throw new Error(`no form at ${page.url}: ${page.text.slice(0, 300)}`);
    const action = attribute(form[1], "action") ?? page.url;
    const values = new URLSearchParams();
    for (const [, input] of form[2].matchAll(/<(?:input|button)\b([^>]*)>/gi)) {
      const name = attribute(input, "name");
      if (name) values.set(name, attribute(input, "value") ?? "");
    }
    for (const [name, value] of Object.entries(fields)) values.set(name, value);
    const origin = new URL(page.url).origin;
    return this.open(new URL(action, page.url).href, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", origin, "sec-fetch-site": "same-origin" },
      body: values.toString(),
    });
  }
}

function exchange(url, { method, headers, body, path = url.pathname + url.search }) {
  return new Promise((done, failed) => {
    const sizes = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const options = {
      host: "127.0.0.1",
      port: url.port,
      path,
      method,
      headers: { ...headers, ...sizes },
      agent: false,
      timeout: 20_000,
      // The certificates of these tests are made for them.
      ...(url.protocol === "https:" && { rejectUnauthorized: false, servername: url.hostname }),
    };
    const sent = (url.protocol === "https:" ? requestOverTls : request)(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part)).on("error", failed);
      answer.on("end", () => {
        const bytes = Buffer.concat(parts);
        const text = bytes.toString("utf8");
        done({ status: answer.statusCode, headers: answer.headers, bytes, text, url: url.href });
      });
    });
    sent.on("error", (error) => failed(new Error(`${method} ${url}: ${error.message}`)));
    sent.on("timeout", () => sent.destroy(new Error("no answer in 20 s")));
    sent.end(body);
  });
}

function keep(kept, line) {
  const [pair, ...attributes] = line.split(";");
  const cut = pair.indexOf("=");
  const [name, value] = [pair.slice(0, cut).trim(), pair.slice(cut + 1).trim()];
  const rest = attributes.join(";").toLowerCase();
  const gone = value === "" || /max-age=0(;|$)/.test(rest) || rest.includes("1970");
  if (gone) kept.delete(name);
  else kept.set(name, value);
}

function attribute(text, name) {
  const found = text.match(new RegExp(`\\b${name}="([^"]*)"`, "i"));
  return found && unescaped(found[1]);
}

function unescaped(text) {
  const names = { amp: "&", quot: '"', lt: "<", gt: ">", apos: "'" };
  return text
    .replace(/&#x([0-9a-f]+);/gi, (_, code) => String.fromCodePoint(parseInt(code, 16)))
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&(amp|quot|lt|gt|apos);/g, (_, entity) => names[entity]);
}
