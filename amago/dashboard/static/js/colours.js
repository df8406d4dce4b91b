// Which colour stands for which run, and the shade of a heat-map cell. The colours themselves are
// custom properties in css/base.css (`--series-0` ... `--series-9`, one set for light and one for
// dark), so a change of theme needs no new assignment; `resolved` turns one into the value a canvas
// needs.

const NUM_COLOURS = 10;

/** Line styles for the second, third, ... ten runs, so that two lines never look the same. */
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

/**
 * Run or group -> slot; kept while the page is open so that a colour never jumps.
 * @type {Map<string, number>}
 */
const slots = new Map();

/** @type {Map<string, string>} run -> the group whose colour it has */
let groupOf = new Map();

/**
 * Gives every selected run, or every group of them, a slot of its own: the first free one, in
 * order. The same selection in a fresh page (a shared link) therefore gets the same colours.
 * @param {string[]} owners runs, or groups
 * @param {Map<string, string>} [groups] run -> group, where the owners are groups
 */
export function assignColours(owners, groups = new Map()) {
  groupOf = groups;
  const taken = new Set();
  for (const owner of owners) {
    const slot = slots.get(owner);
    if (slot !== undefined && !taken.has(slot)) taken.add(slot);
    else slots.delete(owner);
  }
  for (const owner of owners) {
    if (slots.has(owner)) continue;
    const slot = firstFree(taken);
    slots.set(owner, slot);
    taken.add(slot);
  }
}

/**
 * The colour of a run or group as CSS: usable in `style`, in a chart's series, and after `resolved`
 * on a canvas.
 */
export function colourOf(id) {
  return `var(--series-${slotOf(id) % NUM_COLOURS})`;
}

/** The dash pattern that goes with the colour; empty (a full line) for the first ten runs. */
export function dashOf(id) {
  return DASHES[Math.floor(slotOf(id) / NUM_COLOURS) % DASHES.length];
}

/**
 * The background of a heat-map cell; `fraction` 0 (nothing) to 1. Text in `--ink` stays readable on
 * all of them.
 */
export function heat(fraction) {
  const share = Math.max(0, Math.min(1, Number.isFinite(fraction) ? fraction : 0));
  return `color-mix(in srgb, var(--accent) ${Math.round(4 + 46 * share)}%, var(--panel))`;
}

/** What `var(--name)` is in the current theme; any other colour comes back as it was. */
export function resolved(colour, root = document.documentElement) {
  const variable = /^var\((--[\w-]+)\)$/.exec(colour);
  return variable ? getComputedStyle(root).getPropertyValue(variable[1]).trim() : colour;
}

function slotOf(id) {
  const owner = groupOf.get(id) ?? id;
  if (!slots.has(owner)) slots.set(owner, firstFree(new Set(slots.values())));
  return slots.get(owner);
}

function firstFree(taken) {
  let slot = 0;
  while (taken.has(slot)) slot += 1;
  return slot;
}
