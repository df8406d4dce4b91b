// Building elements. Everything the page shows is untrusted text (run, metric and environment
// names), so strings only ever become text nodes and attribute values; nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** Properties that must be set on the object, because the attribute only gives the first value. */
const LIVE_PROPERTIES = new Set([
  "value",
  "checked",
  "disabled",
  "indeterminate",
  "open",
  "hidden",
  "tabIndex",
]);

/**
 * A new element. `props` may hold attributes (`class`, `title`, `aria-*`, `data-*`, ...), live
 * properties (`checked`, `value`, ...), listeners (`onclick: fn`) and `style: {property: value}`;
 * `null` and `undefined` are skipped. Children: nodes, strings and numbers (text), nested arrays;
 * `null` and `false` are skipped.
 * @param {string} tag
 * @param {Object<string, any>} [props]
 * @param {...any} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** As `el`, for SVG. @returns {SVGElement} */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces everything inside `node` with `children` (see `el`) and returns the node. */
export function replace(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/**
 * A name somebody else chose: isolated from the text around it (a right-to-left override cannot
 * reach out), cut by CSS where there is no room, in full as the tool tip.
 */
export function name(text, props = {}) {
  return el(
    "bdi",
    { dir: "auto", title: text, ...props, class: `name ${props.class ?? ""}`.trim() },
    text,
  );
}

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") setStyle(node, value);
    else if (LIVE_PROPERTIES.has(key)) node[key] = value;
    else if (value === false && !key.startsWith("aria-")) continue;
    else node.setAttribute(key, value === true && !key.startsWith("aria-") ? "" : String(value));
  }
  node.append(...flat(children));
  return node;
}

function setStyle(node, style) {
  for (const [property, value] of Object.entries(style)) {
    if (property.startsWith("--")) node.style.setProperty(property, value);
    else node.style[property] = value;
  }
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
