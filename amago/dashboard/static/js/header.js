// The bar at the top: the pages, appearance, link, help, and the x axis in the corner.

import { axisMenu } from "./axis_menu.js";
import { el, replace } from "./dom.js";
import { icon } from "./icons.js";
import { iconButton } from "./card_tools.js";
import { toast } from "./toast.js";

const TABS = {
  charts: "Charts",
  overview: "Overview",
  config: "Config",
  log: "Log",
  files: "Files",
  media: "Media",
};
/** The pages where the x axis means something. */
const TABS_WITH_AXIS = new Set(["charts", "media"]);
const THEMES = { auto: "as the system", light: "light", dark: "dark" };

/**
 * @param {any} context
 * @param {{onRuns: () => void, onHelp: () => void}} actions `onRuns` opens or closes the list of
 *   runs on a narrow screen
 * @returns {{element: HTMLElement, axis: {focus: () => void}, refresh: () => void}}
 */
export function header(context, { onRuns, onHelp }) {
  const { state } = context;
  const axis = axisMenu(context);
  const tabs = Object.entries(TABS).map(([tab, text]) =>
    el(
      "button",
      { type: "button", class: "tab", "data-tab": tab, onclick: () => state.set({ tab }) },
      text,
    ),
  );
  const theme = iconButton("auto", "Appearance", () => nextTheme(state));
  const corner = el(
    "label",
    { class: "corner" },
    el("span", { class: "corner-label" }, "X axis"),
    axis.element,
  );
  const element = el(
    "header",
    { class: "top" },
    iconButton("menu", "Runs", onRuns),
    el("span", { class: "brand" }, "amago"),
    el("nav", { class: "tabs", "aria-label": "Pages" }, tabs),
    el(
      "div",
      { class: "top-tools" },
      theme,
      iconButton("copy", "Copy a link to this view", copyLink),
      iconButton("keyboard", "Keys (?)", onHelp),
    ),
    corner,
  );
  element.querySelector("button").classList.add("runs-button");

  function refresh() {
    axis.refresh();
    corner.hidden = !TABS_WITH_AXIS.has(state.get("tab"));
    for (const tab of tabs) {
      if (tab.dataset.tab === state.get("tab")) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    const label = `Appearance: ${THEMES[state.get("theme")]}`;
    theme.title = label;
    theme.setAttribute("aria-label", label);
    replace(theme, icon(state.get("theme")));
  }

  state.subscribe(["tab", "x", "theme"], refresh);
  return { element, axis, refresh };
}

function nextTheme(state) {
  const themes = Object.keys(THEMES);
  const next = (themes.indexOf(state.get("theme")) + 1) % themes.length;
  state.set({ theme: themes[next] });
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("Link copied. It opens this view for whoever can reach this page.");
  } catch {
    toast("The browser did not allow copying. The address above is the link.");
  }
}
