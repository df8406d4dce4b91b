// Light or dark: the user's choice, else what the system prefers.

const preference = matchMedia("(prefers-color-scheme: dark)");
const STORAGE_KEY = "amago-theme";
/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * Calls `fn` after the colours changed, until the returned function is called. Canvases have to be
 * drawn again.
 */
export function onThemeChange(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** Shows the page in a theme: "light", "dark", or "auto" (as the system prefers). */
export function applyTheme(theme) {
  const root = document.documentElement;
  if (theme === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme);
  for (const fn of [...listeners]) fn();
}

/** The theme chosen on an earlier visit; "auto" if none was, or the browser keeps nothing. */
export function rememberedTheme() {
  try {
    return localStorage.getItem(STORAGE_KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

/** Keeps the choice for the next visit, where the browser allows it. */
export function rememberTheme(theme) {
  try {
    localStorage.setItem(STORAGE_KEY, theme);
  } catch {
    // Storage is off in private windows; the theme then lasts as long as the page.
  }
}

preference.addEventListener("change", () => {
  for (const fn of [...listeners]) fn();
});
