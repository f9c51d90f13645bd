// What the page asks of the server, and how a refusal is told.

import { keyHeaders, wantKey } from "./key.js";

const ROOT = new URL("../../", import.meta.url); // a proxy may serve us below a path of its own

export const address = (path) => new URL(path, ROOT).href;

/** The server answered, and said no. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** The server did not answer. */
export class NoAnswer extends Error {}

/** Ask for JSON. Throws Refused or NoAnswer; a 401 asks for a key as well. */
export async function ask(path, { method = "GET", body, signal, headers = {} } = {}) {
  const answer = await send(path, { method, body, signal, headers });
  return answer.status === 204 ? null : answer.json();
}

/** A file, as it is. */
export async function fetchFile(path) {
  return (await send(path, { method: "GET" })).blob();
}

/** The objects of a stream of server-sent events, for as long as it lasts. EventSource cannot send a key. */
export async function* watch(path, signal) {
  const answer = await send(path, { method: "GET", signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held = (held + value).replace(/\r\n/g, "\n");
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n"));
    }
  }
}

async function send(path, { method, body, signal, headers }) {
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...keyHeaders(), ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer("The server does not answer.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) wantKey();
  throw new Refused(answer.status, await wordsOf(answer));
}

async function wordsOf(answer) {
  try {
    const said = (await answer.json()).error;
    if (said) return typeof said === "string" ? said : said.message;
  } catch {
    // no JSON: the status has to do
  }
  return `The server answered ${answer.status}.`;
}

/** Why a section cannot be shown, in a sentence. */
export function excuse(error, what) {
  if (error.status === 401) return `A key is needed to see ${what}.`;
  if (error.status === 403) return `Your key does not let you see ${what}.`;
  if (error.status === 404 || error.status === 405) return `This server has no ${what}.`;
  return error.message;
}
