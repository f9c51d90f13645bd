// Try it: rows of a person's own through a model, and what came back.

import { address, ask, excuse } from "./api.js";
import { drawAnswers } from "./answers.js";
import { byId, el, say } from "./elements.js";
import { heldKey } from "./key.js";
import { inputFor } from "./inputs.js";
import { count, seconds } from "./words.js";

const CURL_MOST = 2000;
let models = [], input = null, asking = null;

export async function open(wanted) {
  byId("try-model").onchange = () => { location.hash = `#try/${encodeURIComponent(byId("try-model").value)}`; };
  byId("try-form").onsubmit = (event) => { event.preventDefault(); predict(); };
  byId("try-form").onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); predict(); }
  };
  byId("try-example").onclick = async () => { await input.example(); changed(); };
  byId("try-curl").ontoggle = changed;
  try {
    ({ models } = await ask("models"));
  } catch (error) {
    say(byId("try-said"), excuse(error, "models"), "bad");
    return;
  }
  const before = byId("try-model").value;
  const chosen = models.find((model) => model.model === wanted || model.name === wanted)
    ?? models.find((model) => model.model === before) ?? models[0];
  if (!chosen) return say(byId("try-said"), "No model is served here, or none that this key may know of.");
  byId("try-model").replaceChildren(...models.map((model) => el("option", { value: model.model }, model.model)));
  byId("try-model").value = chosen.model;
  if (chosen.model !== before || !input) takeInput(chosen);
}

export function close() {
  asking?.abort();
}

const chosenModel = () => models.find((model) => model.model === byId("try-model").value);

function takeInput(model) {
  asking?.abort();
  input = inputFor(model, changed);
  byId("try-input").replaceChildren(input.element);
  say(byId("try-said"));
  byId("try-answers").replaceChildren(el("p", { class: "empty card" }, "Answers come here."));
  changed();
}

async function changed() {
  try {
    byId("try-count").textContent = input.describe();
    byId("try-count").className = "note";
    if (byId("try-curl").open) byId("try-curl").querySelector("code").textContent = curl(await bodyOf(await input.rows()));
  } catch (error) {
    byId("try-count").textContent = error.message;
    byId("try-count").className = "note bad";
  }
}

const bodyOf = (rows) => ({ model: chosenModel().model, rows: rows.map(({ value }) => ({ [chosenModel().input.name]: value })) });

function curl(body) {
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  const key = heldKey() ? " \\\n  -H \"Authorization: Bearer $TANDEM_KEY\"" : "";
  const cut = json.length > CURL_MOST ? `${json.slice(0, CURL_MOST)}… (cut)` : json;
  return `curl -s ${address("predict")} -H 'Content-Type: application/json'${key} \\\n  -d '${cut}'`;
}

async function predict() {
  const said = byId("try-said"), button = byId("try-send");
  let rows;
  try {
    rows = await input.rows();
  } catch (error) {
    return say(said, error.message, "bad");
  }
  if (!rows.length) {
    say(said, "There is no row yet: write one, or take the example.", "bad");
    return input.focus();
  }
  asking?.abort();
  const mine = (asking = new AbortController());
  button.setAttribute("aria-busy", "true");
  say(said, "Asking …");
  try {
    const began = performance.now();
    const found = await ask("predict", { method: "POST", body: bodyOf(rows), signal: mine.signal });
    const took = (performance.now() - began) / 1000;
    const wrong = found.predictions.filter((answer) => answer.error).length;
    byId("try-answers").replaceChildren(...drawAnswers(rows, found.predictions));
    say(said, `${count(rows.length, "row")} in ${seconds(took)}${wrong ? `, ${count(wrong, "error row")}` : ""}, by ${found.model} (${found.variant})`);
  } catch (error) {
    if (error.name !== "AbortError") say(said, error.message, "bad");
  } finally {
    if (asking === mine) button.removeAttribute("aria-busy");
  }
}
