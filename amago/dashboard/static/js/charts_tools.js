// The tools above the charts: search, jump to a section, smoothing, scale, grouping.

import { el, name, replace } from "./dom.js";

/** The slider's end: heavier smoothing than this hides what happens. */
const MOST_SMOOTHING = 0.99;
const STATISTICS = { mean: "mean", iqm: "interquartile mean" };
const BANDS = {
  std: "standard deviation",
  minmax: "smallest to largest",
  bootstrap: "95 % bootstrap interval",
};

/**
 * @param {any} context
 * @returns {{element: HTMLElement, refresh: () => void, setProblem: (text: string) => void,
 *            destroy: () => void}}
 */
export function chartTools(context) {
  const { state } = context;
  const search = searchField(state);
  const smoothing = smoothingSlider(state);
  const scale = logSwitch(state);
  const grouping = groupMenus(context);
  const zoom = el(
    "button",
    { type: "button", title: "Or double click in a chart", onclick: () => state.set({ zoom: {} }) },
    "Reset zoom",
  );
  const jumps = el("nav", { class: "jumps", "aria-label": "Sections" });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const row = el(
    "div",
    { class: "charts-tools" },
    search.element,
    smoothing.element,
    scale.element,
    grouping.element,
    zoom,
  );

  function refresh() {
    search.refresh();
    smoothing.refresh();
    scale.refresh();
    grouping.refresh();
    zoom.hidden = Object.keys(state.get("zoom")).length === 0;
    replace(jumps, (context.catalogue?.sections ?? []).map(jump));
  }

  function setProblem(text) {
    problem.textContent = text;
    problem.hidden = text === "";
    search.setInvalid(text !== "");
  }

  const keys = ["search", "smooth", "logy", "groupby", "statistic", "band", "zoom"];
  const destroy = state.subscribe(keys, refresh);
  const element = el("div", { class: "charts-top" }, row, problem, jumps);
  return { element, refresh, setProblem, destroy };
}

function searchField(state) {
  const input = el("input", {
    type: "search",
    id: "metric-search",
    placeholder: "Search metrics (press /)",
    "aria-label": "Search metrics; a regular expression may be used",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => state.set({ search: input.value }),
    onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (input.value === "") input.blur();
      else state.set({ search: "" });
    },
  });
  return {
    element: input,
    refresh: () => input.value !== state.get("search") && (input.value = state.get("search")),
    setInvalid: (isInvalid) => input.setAttribute("aria-invalid", String(isInvalid)),
  };
}

function smoothingSlider(state) {
  const shown = el("output", { class: "num" });
  const slider = el("input", {
    type: "range",
    id: "smoothing",
    min: "0",
    max: String(MOST_SMOOTHING),
    step: "0.01",
    "aria-label": "Smoothing",
    oninput: () => state.set({ smooth: Number(slider.value) }),
  });
  const refresh = () => {
    slider.value = String(state.get("smooth"));
    shown.textContent = state.get("smooth").toFixed(2);
  };
  const title =
    "Exponential moving average. The values themselves stay visible behind the line. Keys: [ and ]";
  return { element: el("label", { class: "tool", title }, "Smoothing", slider, shown), refresh };
}

function logSwitch(state) {
  const box = el("input", {
    type: "checkbox",
    id: "logy",
    onchange: () => state.set({ logy: box.checked }),
  });
  const label = el("label", { class: "tool", title: "Logarithmic vertical axis" }, box, "Log y");
  return { element: label, refresh: () => (box.checked = state.get("logy")) };
}

function groupMenus(context) {
  const { state } = context;
  const by = el("select", {
    "aria-label": "Group runs by",
    onchange: () => state.set({ groupby: by.value }),
  });
  const statistic = choiceMenu(state, "statistic", "Line of a group", STATISTICS);
  const band = choiceMenu(state, "band", "Band of a group", BANDS);
  const element = el(
    "span",
    { class: "tool-group" },
    el("label", { class: "tool" }, "Group by", by),
    statistic,
    band,
  );
  const refresh = () => {
    const keys = context.differing.map((row) => row.key);
    const current = state.get("groupby");
    const others =
      current === "" || current === "group" || keys.includes(current) ? keys : [current, ...keys];
    replace(
      by,
      el("option", { value: "" }, "nothing"),
      el("option", { value: "group" }, "group name"),
      others.map((key) => el("option", { value: key }, key)),
    );
    by.value = current;
    for (const menu of [statistic, band]) {
      menu.hidden = current === "";
      menu.value = state.get(menu.dataset.key);
    }
  };
  return { element, refresh };
}

function choiceMenu(state, key, label, choices) {
  const menu = el("select", {
    "aria-label": label,
    title: label,
    "data-key": key,
    onchange: () => state.set({ [key]: menu.value }),
  });
  return replace(
    menu,
    Object.entries(choices).map(([value, text]) => el("option", { value }, text)),
  );
}

function jump({ name: section, metrics }) {
  const go = () => {
    const target = document.querySelector(`[data-section="${CSS.escape(section)}"]`);
    target?.scrollIntoView({ block: "start" });
    target?.querySelector("button")?.focus({ preventScroll: true });
  };
  const count = el("span", { class: "muted num" }, String(metrics.length));
  return el("button", { type: "button", class: "jump", onclick: go }, name(section), count);
}
