// A configuration as a tree, as a flat list, and as a table of several runs.

/** Whether `value` is shown as a group of settings and not as one value. */
export function isGroup(value) {
  return (
    value !== null && typeof value === "object" && !Array.isArray(value) &&
    Object.keys(value).length > 0
  );
}

/** `[{key: "experiment.batch_size", value}]` of every setting, in the order of the record. */
export function flatten(config, prefix = "") {
  return Object.entries(config).flatMap(([name, value]) =>
    isGroup(value) ? flatten(value, `${prefix}${name}.`) : [{ key: prefix + name, value }],
  );
}

/** A value as text: strings as they are, everything else as JSON. */
export function valueText(value) {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** Whether a cell of a difference says that its run has no such setting. */
export function isMissing(value) {
  return value !== null && typeof value === "object" && value.missing === true;
}

/** Whether the text is in the dotted name or in the value; an empty search matches all. */
export function matches(search, key, value) {
  const wanted = search.trim().toLowerCase();
  return key.toLowerCase().includes(wanted) || valueText(value).toLowerCase().includes(wanted);
}

/**
 * The part of a tree that a search finds.
 *
 * A group whose own name matches keeps all it holds. Returns
 * `[{name, path, value} | {name, path, children, count}]`; `count` is the number of settings below.
 */
export function searchTree(config, search = "", prefix = "") {
  const nodes = [];
  for (const [name, value] of Object.entries(config)) {
    const path = prefix + name;
    if (!isGroup(value)) {
      if (matches(search, path, value)) nodes.push({ name, path, value });
      continue;
    }
    const inside = matches(search, path, "") ? "" : search;
    const children = searchTree(value, inside, `${path}.`);
    if (children.length) nodes.push({ name, path, children, count: countLeaves(children) });
  }
  return nodes;
}

function countLeaves(nodes) {
  return nodes.reduce((sum, node) => sum + (node.children ? node.count : 1), 0);
}

/** One row for each setting of any of the configs: `{key, values, differs}`, absent = missing. */
export function compareAll(configs) {
  const flat = configs.map((config) => new Map(flatten(config).map((s) => [s.key, s.value])));
  const keys = [...new Set(flat.flatMap((settings) => [...settings.keys()]))];
  return keys.map((key) => {
    const values = flat.map((s) => (s.has(key) ? s.get(key) : { missing: true }));
    return { key, values, differs: differs(values) };
  });
}

/** Whether the values are not all the same. */
export function differs(values) {
  return new Set(values.map((value) => JSON.stringify(value))).size > 1;
}

/** The rows of a comparison in which the search is in the name or in any value. */
export function searchRows(rows, search) {
  return rows.filter(({ key, values }) =>
    values.some((value) => matches(search, key, isMissing(value) ? "" : value)),
  );
}

/** `text` in pieces `{text, hit}`, with every occurrence of `search` as a hit of its own. */
export function highlight(text, search) {
  const wanted = search.trim().toLowerCase();
  const lower = text.toLowerCase();
  // Lower case may be longer than the text (İ): then positions would not agree.
  if (!wanted || lower.length !== text.length) return [{ text, hit: false }];
  const pieces = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) pieces.push({ text: text.slice(from, at), hit: false });
    from = at + wanted.length;
    pieces.push({ text: text.slice(at, from), hit: true });
  }
  if (from < text.length) pieces.push({ text: text.slice(from), hit: false });
  return pieces;
}
