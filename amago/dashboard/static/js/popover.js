// A small panel that belongs to a button: opens below it, closes with Esc, a click elsewhere or the
// button itself.

import { el } from "./dom.js";

/**
 * @param {HTMLElement} button
 * @param {() => any} content builds what the panel shows, each time it opens
 * @param {{label: string}} options `label` names the panel for screen readers
 * @returns {{element: HTMLElement, close: () => void}} `element` holds the button and the panel
 */
export function popover(button, content, { label }) {
  const element = el("span", { class: "popover" }, button);
  let panel = null;

  const onPointer = (event) => !element.contains(event.target) && close();
  const onKey = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
    button.focus();
  };

  function open() {
    panel = el("div", { class: "popover-panel", role: "dialog", "aria-label": label }, content());
    element.append(panel);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", onPointer);
    element.addEventListener("keydown", onKey);
    keepInside(panel);
    panel.querySelector("input, button, select")?.focus();
  }

  function close() {
    if (!panel) return;
    panel.remove();
    panel = null;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", onPointer);
    element.removeEventListener("keydown", onKey);
  }

  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => (panel ? close() : open()));
  return { element, close };
}

/** Moves the panel to the left where it would leave the window. */
function keepInside(panel) {
  const { left, right } = panel.getBoundingClientRect();
  const over = Math.max(0, right - (document.documentElement.clientWidth - 8));
  const shift = Math.min(over, Math.max(0, left - 8));
  const tooFarLeft = Math.max(0, 8 - left);
  panel.style.transform = `translateX(${tooFarLeft - shift}px)`;
}
