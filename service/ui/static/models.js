// Models: a card for each, with what it promises; and, where the key allows, loading and unloading.

import { ask, excuse } from "./api.js";
import { areYouSure, byId, copyButton, el, say } from "./elements.js";
import { count, number, percent, splitTag } from "./words.js";

const LABELS_SHOWN = 12;
const ROWS = { text: "token", sequence: "step" };

export function open() {
  say(byId("models-said"));
  return show();
}

export function close() {}

async function show() {
  const said = byId("models-said"), cards = byId("models-cards");
  try {
    const [{ models }, { actions }] = await Promise.all([ask("models"), ask("ui/allowed")]);
    const manages = actions.includes("admin"), hadFocus = cards.contains(document.activeElement);
    cards.replaceChildren(...models.map((model) => card(model, manages)));
    if (hadFocus) byId("title-models").focus(); // what had it is drawn anew
    byId("load-form").hidden = !manages;
    byId("load-form").onsubmit = load;
    if (!models.length) say(said, "No model is served here, or none that this key may know of.");
    else if (said.firstChild?.className !== "good") say(said);
  } catch (error) {
    cards.replaceChildren();
    byId("load-form").hidden = true;
    say(said, excuse(error, "models"), "bad");
  }
}

function card(model, manages) {
  const [name, version] = splitTag(model.model);
  const isOneOfSeveral = model.versions.length > 1;
  const title = `model-${model.model.replace(/[^\w-]/g, "-")}`;
  return el("article", { class: "card model", "aria-labelledby": title, "data-model": model.model },
    el("header", {},
      el("h3", { id: title }, name, el("span", { class: "version" }, `:${version}`)),
      el("p", { class: "badges" },
        el("span", { class: "badge" }, model.family),
        el("span", { class: "badge" }, model.task.replaceAll("-", " ")),
        isOneOfSeveral && model.default && el("span", { class: "badge strong" }, `what “${model.name}” means`),
        !model.kept && el("span", { class: "badge" }, "until a restart"))),
    el("dl", { class: "figures" },
      figure("accuracy", model.accuracy ? percent(model.accuracy.value, 2) : "not stated", model.accuracy?.data),
      figure("measured", ...speedWords(model))),
    el("dl", { class: "facts" },
      fact("takes", takes(model)),
      fact("answers", model.output.filter((name) => !["truncated", "error"].includes(name)).join(", ")),
      fact("variant", el("code", {}, model.variant)),
      fact("tolerance", number(model.tolerance)),
      fact("digest", el("code", { title: model.digest }, model.digest.slice(0, 12)), " ", copyButton(model.digest, `the digest of ${name}`)),
      model.labels.length > 0 && fact(count(model.labels.length, "label"), labels(model.labels))),
    el("footer", { class: "actions" },
      el("a", { class: "button", href: `#try/${encodeURIComponent(model.model)}`, "aria-label": `Try ${name}` }, "Try it"),
      manages && isOneOfSeveral && !model.default && el("button", { type: "button", class: "second", on: { click: () => makeDefault(model) } }, "Make it the default"),
      manages && el("button", { type: "button", class: "second", "aria-label": `Unload ${name}`, on: { click: () => unload(model) } }, "Unload")));
}

const figure = (name, value, words) => el("div", {}, el("dt", {}, name), el("dd", {}, value, words && el("small", {}, words)));
const fact = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));

function speedWords(model) {
  if (!model.speed) return ["not yet", "no call was timed here"];
  const of = ROWS[model.input.kind] ? ` of ${count(model.speed.length, ROWS[model.input.kind])}` : "";
  return [`${number(model.speed.rows_per_s)} rows/s`, `rows${of}, ${model.speed.micro_batch_rows} together`];
}

function takes(model) {
  const most = model.max_length && ROWS[model.input.kind] ? `, up to ${count(model.max_length, ROWS[model.input.kind])}` : "";
  return [el("code", {}, model.input.name), ` (${model.input.kind}${most})`];
}

function labels(names) {
  const chip = (name) => el("span", { class: "chip" }, name);
  if (names.length <= LABELS_SHOWN) return el("span", { class: "chips" }, names.map(chip));
  return el("details", { class: "fold" }, el("summary", {}, `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`),
    el("span", { class: "chips" }, names.map(chip)));
}

async function load(event) {
  event.preventDefault();
  const form = event.target, wanted = form.elements.model.value.trim();
  if (!wanted) return;
  await change(`Loading ${wanted} …`, "models/load", { model: wanted, default: form.elements.default.checked }, `${wanted} is loaded.`, form);
}

async function makeDefault(model) {
  await change("", "models/default", { model: model.model }, `“${model.name}” now means ${model.model}.`);
}

async function unload(model) {
  const words = "Requests for it are refused from then on; those that wait are answered first.";
  if (await areYouSure(`Unload ${model.model}?`, words, "Unload")) {
    await change(`Unloading ${model.model} …`, "models/unload", { model: model.model }, `${model.model} is unloaded.`);
  }
}

async function change(during, path, body, after, form) {
  const said = byId("models-said"), button = form?.querySelector("button");
  say(said, during);
  if (button) button.disabled = true;
  try {
    await ask(path, { method: "POST", body });
    form?.reset();
    say(said, after, "good");
    await show();
  } catch (error) {
    say(said, error.message, "bad");
  } finally {
    if (button) button.disabled = false;
  }
}
