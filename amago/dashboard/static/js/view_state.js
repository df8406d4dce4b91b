// The whole view as one string for the address bar, and back. Pure: no window, no document.

/** What each key holds when the address says nothing about it. */
export const DEFAULTS = Object.freeze({
  runs: null, // selected run ids; null: not chosen yet (the page then picks the newest)
  tab: "charts",
  x: "", // "": the default axis of the selected runs
  smooth: 0,
  logy: false,
  search: "",
  groupby: "", // "", "group", or a key of the config
  statistic: "mean",
  band: "std",
  collapsed: Object.freeze([]),
  axes: Object.freeze({}), // chart -> axis, where it differs from x
  full: "", // the metric shown full screen
  theme: "auto",
  zoom: Object.freeze({}), // axis -> [low, high]
});

const CHOICES = {
  tab: ["charts", "overview", "config", "log", "files", "media"],
  statistic: ["mean", "iqm"],
  band: ["std", "minmax", "bootstrap"],
  theme: ["auto", "light", "dark"],
};

const text = { write: escape, read: unescape };
const choice = (key) => ({
  write: escape,
  read: (value) => (CHOICES[key].includes(value) ? value : undefined),
});
const list = {
  write: (values) => values.map(escape).join(","),
  read: (value) => (value === "" ? [] : value.split(",").map(unescape)),
};
const map = (write, read) => ({
  write: (values) =>
    Object.entries(values)
      .map(([key, value]) => `${escape(key)}~${write(value)}`)
      .join(","),
  read: (value) =>
    Object.fromEntries(pairs(value).map(([key, rest]) => [unescape(key), read(rest)])),
});

const CODECS = {
  runs: list,
  tab: choice("tab"),
  x: text,
  smooth: { write: String, read: readFraction },
  logy: { write: (value) => (value ? "1" : "0"), read: (value) => value === "1" },
  search: text,
  groupby: text,
  statistic: choice("statistic"),
  band: choice("band"),
  collapsed: list,
  axes: map(escape, unescape),
  full: text,
  theme: choice("theme"),
  zoom: { write: map((range) => range.join(":")).write, read: readZoom },
};

/** The hash (without "#") that holds every key that differs from its default. */
export function encode(view) {
  return Object.keys(CODECS)
    .filter((key) => view[key] !== undefined && !isSame(view[key], DEFAULTS[key]))
    .map((key) => `${key}=${CODECS[key].write(view[key])}`)
    .join("&");
}

/**
 * The view a hash (with or without "#") describes; what it does not say, or says wrongly, is the
 * default.
 */
export function decode(hash) {
  const view = { ...DEFAULTS };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    const codec = at < 0 ? undefined : CODECS[part.slice(0, at)];
    const value = codec?.read(part.slice(at + 1));
    if (value !== undefined) view[part.slice(0, at)] = value;
  }
  return view;
}

/** True if two values of a key are the same (arrays and objects by content). */
export function isSame(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/**
 * Percent-encoding that also covers the separators used here. A lone surrogate (no valid text)
 * becomes U+FFFD.
 */
function escape(value) {
  const valid = value.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, (m) =>
    m.length > 1 ? m : "\ufffd",
  );
  return encodeURIComponent(valid).replace(/~/g, "%7E");
}

function unescape(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // somebody edited the address by hand
  }
}

function pairs(value) {
  return value
    .split(",")
    .map((part) => part.split("~"))
    .filter((pair) => pair.length === 2);
}

function readFraction(value) {
  const share = Number(value);
  return Number.isFinite(share) && share >= 0 && share < 1 ? share : undefined;
}

function readZoom(value) {
  const ranges = pairs(value).map(([axis, range]) => [
    unescape(axis),
    range.split(":").map(Number),
  ]);
  return Object.fromEntries(ranges.filter(([, [low, high]]) => low < high));
}
