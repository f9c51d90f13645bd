// The form for a new job: fields to a JobSpec, and the refusal of one in words beside it.

import { ask } from "./api.js";
import { byId, el, say } from "./elements.js";

const NUMBERS = ["limit", "max_errors"], TEXTS = ["where", "label", "memory", "runtime", "on_long"];
let models = [];
let pressed = null;

export async function setUpForm(submitted) {
  const form = byId("job-form");
  form.onsubmit = (event) => { event.preventDefault(); submit(form, submitted); };
  form.oninput = () => { pressed = null; };
  form.elements.model.onchange = () => hint(form);
  try {
    ({ models } = await ask("models"));
  } catch {
    models = []; // a name can be written all the same
  }
  byId("job-models").replaceChildren(...models.map((model) => el("option", { value: model.model })));
  if (!form.elements.model.value && models.length) form.elements.model.value = models[0].name;
  hint(form);
}

const modelOf = (form) => models.find(({ name, model }) => [name, model].includes(form.elements.model.value.trim()));

function hint(form) {
  const model = modelOf(form);
  byId("job-column-hint").textContent = model
    ? `Empty where it is called “${model.input.name}”, as the model calls it.`
    : "Empty where it has the name that the model asks for.";
}

function specOf(form) {
  const value = (name) => form.elements[name].value.trim();
  const spec = { model: value("model"), input: value("input"), output: value("output") };
  if (value("column")) {
    const model = modelOf(form);
    if (!model) throw new Error("Which column the model asks for is not known here: take one of the models of the list, or leave the column empty.");
    spec.column = { [model.input.name]: value("column") };
  }
  if (value("keep")) spec.keep = value("keep").split(",").map((name) => name.trim()).filter(Boolean);
  for (const name of TEXTS) if (value(name)) spec[name] = value(name);
  for (const name of NUMBERS) if (value(name)) spec[name] = Number(value(name));
  return spec;
}

async function submit(form, submitted) {
  const said = byId("job-said"), button = form.querySelector("button[type=submit]");
  pressed ??= newKey(); // pressed twice, or sent again after no answer: one job all the same
  button.disabled = true;
  say(said, "Sending, and looking it over …");
  try {
    const job = await ask("jobs", { method: "POST", body: specOf(form), headers: { "Idempotency-Key": pressed } });
    pressed = null;
    say(said, `Job ${job.id} is taken in.`, "good");
    submitted(job);
  } catch (error) {
    say(said, error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

/** crypto.randomUUID is not there over plain http on a network. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
