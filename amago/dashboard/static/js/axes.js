// Which x axis a chart uses, and how the axes are called and listed.

/** What the user sees beside an axis name, where the name alone does not explain it. */
const NOTES = {
  "Wall Time": "date and time",
  "Process Time": "time of running, without pauses",
  total_frames: "environment steps of data collection",
  Epoch: "training epochs",
  gradient_steps: "updates of the networks",
  Step: "number of log calls; rarely useful",
};

/** A short explanation of an axis. */
export function axisNote(axis) {
  return NOTES[axis] ?? "";
}

/**
 * The axis in use: the chosen one, else the default of the selected runs.
 * @param {string} chosen `state.get("x")`, or the axis of one chart
 * @param {{default_axis: string} | null} catalogue the answer of /api/metrics
 */
export function currentAxis(chosen, catalogue) {
  return chosen || catalogue?.default_axis || "total_frames";
}

/**
 * The axes to offer for what was typed: all of them, in menu order, for no text; else those that
 * hold every typed word, the ones starting with the text first.
 * @param {string[]} axes
 * @param {string} typed
 */
export function matchingAxes(axes, typed) {
  const text = typed.trim().toLowerCase();
  const words = text.split(/\s+/).filter(Boolean);
  const found = axes.filter((axis) => words.every((word) => axis.toLowerCase().includes(word)));
  const startsWithText = (axis) => axis.toLowerCase().startsWith(text);
  return [...found.filter(startsWithText), ...found.filter((axis) => !startsWithText(axis))];
}
