// The page: four sections at addresses of their own, and whether the server is ready.

import { address } from "./api.js";
import { byId } from "./elements.js";
import { setUpKey } from "./key.js";
import * as jobs from "./jobs.js";
import * as load from "./load.js";
import * as models from "./models.js";
import * as trying from "./try.js";
import { moment } from "./words.js";

const SECTIONS = { models, try: trying, jobs, load };
const HEALTH_S = 5;
let current = null;

function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const wanted = Object.hasOwn(SECTIONS, name) ? name : "models";
  if (current && current !== wanted) SECTIONS[current].close();
  for (const section of Object.keys(SECTIONS)) byId(`section-${section}`).hidden = section !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${byId(`title-${wanted}`).textContent} · Tandem`;
  current = wanted;
  SECTIONS[wanted].open(decoded(rest.join("/")));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // an address that somebody wrote by hand
  }
}

let lastAnswer = null;

async function askHealth() {
  let state = "gone", words = lastAnswer ? `no answer since ${moment(lastAnswer)}` : "no answer";
  try {
    const answer = await fetch(address("readyz"), { cache: "no-store" });
    lastAnswer = Date.now();
    [state, words] = answer.ok ? ["ready", "ready"] : ["waiting", "not ready"];
  } catch {
    // said by the words above
  }
  const health = byId("health");
  if (health.textContent !== words) health.textContent = words;
  health.dataset.state = state;
}

setUpKey();
addEventListener("hashchange", route);
document.addEventListener("key-changed", route);
route();
askHealth();
setInterval(() => document.hidden || askHealth(), 1000 * HEALTH_S);
document.addEventListener("visibilitychange", () => document.hidden || askHealth());
