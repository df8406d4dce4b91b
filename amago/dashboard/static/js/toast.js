// A short message at the bottom of the page that goes away by itself.

import { el } from "./dom.js";

const SHOWN_MS = 3500;
let current = null;

export function toast(text) {
  current?.remove();
  const message = el("div", { class: "toast", role: "status" }, text);
  current = message;
  document.body.append(message);
  setTimeout(() => message.remove(), SHOWN_MS);
}
