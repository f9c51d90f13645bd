// The API key: asked for when the server wants one, kept by this tab only, sent as a header and never in an address.

import { byId } from "./elements.js";

const NAME = "tandem-key";

export const heldKey = () => sessionStorage.getItem(NAME) ?? "";
export const keyHeaders = () => (heldKey() ? { Authorization: `Bearer ${heldKey()}` } : {});

const changed = () => document.dispatchEvent(new Event("key-changed"));

/** Ask for a key, once at a time. */
export function wantKey() {
  const dialog = byId("key-dialog");
  if (dialog.open) return;
  byId("key-said").textContent = heldKey()
    ? "The server does not know the key that this tab holds. Another one?"
    : "It is kept in this tab only, until the tab is closed or you forget it.";
  dialog.showModal();
}

export function setUpKey() {
  const dialog = byId("key-dialog"), form = byId("key-form"), forget = byId("forget");
  forget.hidden = !heldKey();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, form.elements.key.value.trim());
    form.reset();
    dialog.close();
    forget.hidden = false;
    changed();
  });
  byId("key-cancel").addEventListener("click", () => dialog.close());
  forget.addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    location.reload(); // what was shown with it goes with it
  });
}
