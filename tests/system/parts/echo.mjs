// An application that answers with what it was asked and the headers that it was given.

import { createServer } from "node:http";
import { once } from "node:events";
import { expectSame } from "./report.mjs";

/** Starts the application on a free port of loopback; its address. */
export async function startApplication() {
  const server = createServer((incoming, answer) => {
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }));
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

/** What the application was told with the request that this page answers. */
export function told(page) {
  expectSame(`the status of ${page.url}`, page.status, 200);
  return JSON.parse(page.text);
}
