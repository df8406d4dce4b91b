// The keyboard: single keys while no text is being typed, and the list of them.

import { el } from "./dom.js";
import { iconButton } from "./card_tools.js";

const SMOOTHING_STEP = 0.1;
const KEYS = [
  ["/", "search metrics"],
  ["x", "choose the x axis"],
  ["[ and ]", "less and more smoothing"],
  ["l", "logarithmic or linear y axis"],
  ["f", "full screen: the chart under the mouse, or the first one"],
  ["Esc", "close what is open; leave a search field"],
  ["?", "this list"],
];
const MOUSE = [
  ["drag in a chart", "zoom into that part of the x axis"],
  ["double click", "show all of it again"],
];

/**
 * Listens for the keys.
 * @param {any} context
 * @param {{focusAxis: () => void}} actions
 * @returns {{showHelp: () => void}}
 */
export function shortcuts(context, { focusAxis }) {
  const { state } = context;
  const help = helpDialog();
  const actions = {
    "/": () => {
      state.set({ tab: "charts" });
      document.getElementById("metric-search")?.focus();
    },
    x: focusAxis,
    "[": () => smoothBy(state, -SMOOTHING_STEP),
    "]": () => smoothBy(state, SMOOTHING_STEP),
    l: () => state.set({ logy: !state.get("logy") }),
    f: () => state.set({ full: state.get("full") ? "" : chartToEnlarge() }),
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || help.open)
      return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  return { showHelp: () => help.showModal() };
}

function isTyping(target) {
  const fields = "input:not([type=checkbox]):not([type=range]), textarea, select";
  return Boolean(target.closest?.(fields));
}

function smoothBy(state, step) {
  const smooth = Math.max(0, Math.min(0.99, state.get("smooth") + step));
  state.set({ smooth: Number(smooth.toFixed(2)) });
}

/**
 * The metric of the chart under the mouse, else the one that has the focus, else the first in the
 * window.
 */
function chartToEnlarge() {
  const cards = [...document.querySelectorAll(".chart-card")].filter((card) =>
    card.querySelector(".uplot"),
  );
  const isInWindow = (card) => card.getBoundingClientRect().bottom > 80;
  const chosen =
    cards.find((card) => card.matches(":hover")) ??
    document.activeElement?.closest(".chart-card") ??
    cards.find(isInWindow);
  return chosen?.dataset.metric ?? "";
}

function helpDialog() {
  const close = iconButton("close", "Close (Esc)", () => dialog.close());
  const row = ([key, text]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, key)), el("td", {}, text));
  const dialog = el(
    "dialog",
    { class: "keys", "aria-label": "Keys" },
    el("header", { class: "full-head" }, el("h2", {}, "Keys"), close),
    el("table", {}, el("tbody", {}, KEYS.map(row), MOUSE.map(row))),
  );
  document.body.append(dialog);
  return dialog;
}
