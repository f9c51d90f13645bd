// Inputs: what a person gives for each kind of model, and the rows that it becomes.

import { el, thumbnail } from "./elements.js";
import { drawTrousers, LANGUAGES, SEQUENCE, TEXTS } from "./examples.js";
import { count } from "./words.js";

/** The input for a model: { element, rows(), describe(), example(), focus() }; `changed` is called at every change. */
export function inputFor(model, changed) {
  return { text: textInput, image: imageInput, sequence: sequenceInput }[model.input.kind](model, changed);
}

/** Each row: { value, shown, picture? }. */
const row = (value, shown, picture) => ({ value, shown, picture });

function textInput(model, changed) {
  const area = el("textarea", { rows: 6, spellcheck: "false", on: { input: changed } });
  const rows = () => area.value.split("\n").filter((line) => line.trim()).map((line) => row(line, line));
  return {
    element: el("label", {}, "Rows, one a line", area),
    rows,
    describe: () => count(rows().length, "row"),
    example: () => { area.value = (/language/.test(model.name) ? LANGUAGES : TEXTS).join("\n"); },
    focus: () => area.focus(),
  };
}

function sequenceInput(model, changed) {
  const area = el("textarea", { rows: 9, class: "code", spellcheck: "false", "aria-describedby": "sequence-hint", on: { input: changed } });
  const parsed = () => parseSequences(area.value);
  return {
    element: el("label", {}, "Sequence", area,
      el("span", { class: "hint", id: "sequence-hint" }, "One step a line, its numbers between commas, and an empty line between sequences; or JSON.")),
    rows: () => parsed().map((steps) => row(steps, `${count(steps.length, "step")} of ${count(width(steps), "number")}`)),
    describe: () => {
      const found = parsed();
      return found.length === 1 ? `${count(found[0].length, "step")} of ${count(width(found[0]), "number")}` : count(found.length, "sequence");
    },
    example: () => { area.value = SEQUENCE; },
    focus: () => area.focus(),
  };
}

const width = (steps) => (Array.isArray(steps[0]) ? steps[0].length : 1);

/** Sequences of a text. Throws an Error that says which line is none. */
export function parseSequences(text) {
  const trimmed = text.trim();
  if (!trimmed) return [];
  if (/^[[{]/.test(trimmed)) {
    let found;
    try {
      found = JSON.parse(trimmed);
    } catch (error) {
      throw new Error(`This is no JSON: ${error.message}`);
    }
    if (!Array.isArray(found) || !found.length) throw new Error("A sequence in JSON is a list of steps.");
    return Array.isArray(found[0]) && Array.isArray(found[0][0]) ? found : [found];
  }
  const sequences = [[]];
  for (const [number, line] of trimmed.split("\n").entries()) {
    if (!line.trim()) sequences.push([]);
    else sequences.at(-1).push(parseStep(line, number + 1));
  }
  return sequences.filter((steps) => steps.length);
}

function parseStep(line, number) {
  const numbers = line.trim().replace(/,$/, "").split(/\s*[,;]\s*|\s+/).map(Number);
  if (numbers.some((value) => !Number.isFinite(value))) throw new Error(`Line ${number} is no list of numbers.`);
  return numbers;
}

function imageInput(model, changed) {
  let pictures = [];
  const shown = el("ul", { class: "pictures", "aria-label": "Chosen images" });
  const file = el("input", { type: "file", accept: "image/*", multiple: true, id: "try-file" });
  const zone = el("div", { class: "drop" },
    el("label", { for: "try-file" }, "Images"), file,
    el("span", { class: "hint" }, "Or drop them here, or paste one."));

  const add = (files) => {
    for (const one of files) if (one.type.startsWith("image/")) pictures.push({ file: one, url: URL.createObjectURL(one) });
    draw();
    changed();
  };
  const draw = () => shown.replaceChildren(...pictures.map((picture, at) => el("li", {},
    thumbnail(picture.url), el("span", {}, picture.file.name),
    el("button", { type: "button", class: "quiet", "aria-label": `Remove ${picture.file.name}`, on: { click: () => remove(at) } }, "Remove"))));
  const remove = (at) => {
    pictures.splice(at, 1);
    draw();
    changed();
    file.focus();
  };

  file.addEventListener("change", () => { add(file.files); file.value = ""; });
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    add(event.dataTransfer.files);
  });
  const element = el("div", { on: { paste: (event) => add(event.clipboardData.files) } }, zone, shown);
  return {
    element,
    rows: () => Promise.all(pictures.map(async ({ file: one, url }) => row(await base64Of(one), one.name, url))),
    describe: () => count(pictures.length, "image"),
    example: async () => add([await drawTrousers()]),
    focus: () => file.focus(),
  };
}

async function base64Of(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Error(`${file.name} cannot be read.`)));
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}
