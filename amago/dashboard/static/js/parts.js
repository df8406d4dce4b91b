// Small pieces that every view is made of: names of runs, menus, searches, and what is shown
// while data is on its way, when there is none, and when it could not be had.

import { Disconnected } from "./api.js";
import { colourOf } from "./colours.js";
import { el, name, replace } from "./dom.js";
import { isInUse, keepingPlace } from "./redraw.js";

const WAIT_MS = 500;

/** The selected runs that can be read, in the order of the selection, each with its `label`. */
export function selectedRuns(context) {
  return selected(context).filter(({ error }) => !error).map((run) => runOf(context, run.id));
}

/** The selected runs whose record cannot be read; `error` says why. */
export function brokenRuns(context) {
  return selected(context).filter(({ error }) => error);
}

function selected({ state, runs }) {
  return (state.get("runs") ?? []).map((id) => runs.get(id)).filter(Boolean);
}

/** A run with the `label` under which the page lists it. */
export function runOf({ runs, labels }, id) {
  const run = runs.get(id) ?? { id, name: id };
  return { ...run, label: labels?.get(id) ?? run.name };
}

/** A run's name beside its colour. */
export function runName(run) {
  const dot = el("span", {
    class: "run-dot", style: { background: colourOf(run.id) }, "aria-hidden": "true",
  });
  return el("span", { class: "run-name" }, dot, name(run.label));
}

/** Text for places that hold no elements (an option, a title): isolated, direction and all. */
export function isolated(text) {
  return `\u2068${text}\u2069`;
}

/** What a view shows instead of nothing: a title, and what to do. */
export function notice(title, ...says) {
  return el("div", { class: "notice", role: "status" }, el("h3", {}, title), el("p", {}, says));
}

/** What to show if no run is selected, or none that can be read. */
export function noRuns(context) {
  const broken = brokenRuns(context);
  if (broken.length === 0) return notice("No run selected", "Tick one or more runs in the list.");
  return broken.map((run) =>
    notice("This run could not be read", runName(runOf(context, run.id)), ": ",
      el("bdi", { class: "wrap" }, run.error), " Nothing was changed. Bring the files back from a ",
      "copy, or leave it: other runs are not affected."));
}

/** A labelled menu of `options = [{value, text}]`. */
export function menu(label, options, value, onchoose) {
  const choices = options.map((option) =>
    el("option", { value: option.value }, isolated(option.text)),
  );
  const select = el("select", { onchange: () => onchoose(select.value) }, choices);
  select.value = value;
  return el("label", { class: "field" }, el("span", { class: "field-label" }, label), select);
}

/** Buttons of which one is pressed: `options = [{value, text}]`. */
export function switcher(label, options, value, onchoose) {
  const buttons = options.map((option) =>
    el("button", {
      type: "button", "data-value": option.value,
      "aria-pressed": String(option.value === value),
      onclick: () => {
        for (const button of buttons) {
          button.setAttribute("aria-pressed", String(button.dataset.value === option.value));
        }
        onchoose(option.value);
      },
    }, option.text),
  );
  return el("div", { class: "switcher", role: "group", "aria-label": label }, buttons);
}

/** A search field; `onsearch(text)` is called with each change. */
export function searchField(label, value, onsearch) {
  const input = el("input", {
    type: "search", value, placeholder: label, "aria-label": label, spellcheck: "false",
    autocomplete: "off", oninput: () => onsearch(input.value),
  });
  return input;
}

/** A button that copies `textOf()` and says that it did. */
export function copyButton(label, textOf) {
  const button = el("button", { type: "button", class: "copy" }, label);
  button.addEventListener("click", async () => {
    const isCopied = await copy(textOf());
    replace(button, isCopied ? "Copied" : "Not copied: select the text");
    setTimeout(() => replace(button, label), 1600);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // the page is not served from a place the browser trusts
  }
}

function copyBySelection(text) {
  const area = el("textarea", { value: text, class: "off-screen", "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

/**
 * Keeps `container` showing what `draw(await load())` makes of it.
 *
 * The last `reload` wins. Data that did not change is not drawn again; changed data waits while
 * the reader selects or drags something, and leaves scrolled places and focus. Without an answer
 * of the server what is shown stays.
 */
export function panel(container, load, draw) {
  let newest = 0;
  let shown = null;
  container.setAttribute("aria-busy", "true");
  container.append(el("p", { class: "loading" }, "Loading…"));

  async function reload() {
    newest += 1;
    const mine = newest;
    try {
      const data = await load();
      if (mine === newest) take(data);
    } catch (error) {
      if (mine === newest && !(error instanceof Disconnected && shown !== null)) fail(error);
    }
  }

  function take(data) {
    const mine = newest;
    const key = JSON.stringify(data);
    container.removeAttribute("aria-busy");
    if (key === shown) return;
    if (isInUse(container)) {
      setTimeout(() => mine === newest && take(data), WAIT_MS);
      return;
    }
    shown = key;
    keepingPlace(container, () => draw(data));
  }

  function fail(error) {
    shown = null;
    container.removeAttribute("aria-busy");
    const again = el("button", { type: "button", onclick: reload }, "Try again");
    replace(container, el("div", { class: "notice notice-error", role: "alert" },
      el("h3", {}, "This could not be shown"), el("p", {}, name(error.message)), again));
  }

  reload();
  return { reload, destroy: () => { newest += 1; } };
}
