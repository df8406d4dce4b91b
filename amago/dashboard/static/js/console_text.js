// Console output as lines of plain text.

// Colours and cursor movements (CSI), window titles (OSC), and two-character escapes.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

/**
 * What a terminal would show of `text`, as lines: no colours, and of a progress bar that was
 * drawn over itself only its last state.
 */
export function plainLines(text) {
  const lines = text.replace(ESCAPES, "").replaceAll("\r\n", "\n").split("\n");
  if (lines.length && lines[lines.length - 1] === "") lines.pop();
  return lines.map((line) => lastDrawn(line).replace(CONTROLS, ""));
}

function lastDrawn(line) {
  const states = line.split("\r").filter((state) => state !== "");
  return states.length ? states[states.length - 1] : "";
}

/** Lines with `search` in them (case does not matter), as `[{line, index}]`; all if empty. */
export function findLines(lines, search) {
  const wanted = search.trim().toLowerCase();
  return lines
    .map((line, index) => ({ line, index }))
    .filter(({ line }) => line.toLowerCase().includes(wanted));
}
