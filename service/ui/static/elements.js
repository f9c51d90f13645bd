// Elements from words: a text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `on` holds listeners; true sets a bare attribute; null and false leave one out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Say something in a live region: nothing, a sentence, or a sentence about what went wrong. */
export function say(region, words = "", kind = "note") {
  if (region.textContent === words && region.firstChild?.className === kind) return; // not read out twice
  region.replaceChildren(...(words ? [el("p", { class: kind }, words)] : []));
}

/** A button that copies a text, and says so. */
export function copyButton(text, what) {
  const button = el("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      said = copyByHand(text) ? "Copied" : "Not allowed";
    }
    const show = (words) => { button.textContent = words; button.setAttribute("aria-label", `${words} ${what}`); };
    show(said);
    setTimeout(() => show("Copy"), 1600);
  });
  return button;
}

/** The way without the clipboard's own interface, which plain http on a network does not have. */
function copyByHand(text) {
  const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
  }
}

/** A small picture; an empty square where the browser cannot read it. */
export function thumbnail(src) {
  return el("img", { src, alt: "", class: "thumb", on: { error: (event) => event.target.replaceWith(el("span", { class: "thumb" })) } });
}

/** Ask before something that others would notice; true where the answer is yes. */
export function areYouSure(title, words, yes) {
  const dialog = byId("sure-dialog");
  byId("sure-title").textContent = title;
  byId("sure-words").textContent = words;
  byId("sure-yes").textContent = yes;
  return new Promise((resolve) => {
    byId("sure-yes").onclick = () => dialog.close("yes");
    byId("sure-no").onclick = () => dialog.close("no");
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    byId("sure-no").focus();
  });
}
