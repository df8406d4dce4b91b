// The page's few icons, as SVG paths on a 20 x 20 grid, drawn in the colour of the text around
// them.

import { svg } from "./dom.js";

const PATHS = {
  close: ["M5 5l10 10M15 5L5 15"],
  copy: [
    "M8.5 11.5a3 3 0 0 0 4.2 0l2.6-2.6a3 3 0 0 0-4.2-4.2l-1 1",
    "M11.5 8.5a3 3 0 0 0-4.2 0l-2.6 2.6a3 3 0 0 0 4.2 4.2l1-1",
  ],
  down: ["M5 8l5 5 5-5"],
  download: ["M10 3v9M6 9l4 4 4-4M4 16.5h12"],
  axis: ["M4 3v13h13", "M7 12l3-4 3 2 4-5"],
  expand: ["M11.5 3.5h5v5M8.5 16.5h-5v-5M16.5 3.5l-5.5 5.5M3.5 16.5L9 11"],
  help: ["M7.5 7.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8", "M10 14.4v.2"],
  keyboard: ["M3 5.5h14v9H3zM6 8.5h.2M9 8.5h.2M12 8.5h.2M14.5 8.5h.2M6.5 11.8h7"],
  menu: ["M3.5 5.5h13M3.5 10h13M3.5 14.5h13"],
  auto: ["M10 3.5a6.5 6.5 0 1 0 0 13z", "M10 3.5a6.5 6.5 0 0 1 0 13"],
  light: [
    "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
    "M10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18",
    "M4.3 4.3l1 1M14.7 14.7l1 1M15.7 4.3l-1 1M5.3 14.7l-1 1",
  ],
  dark: ["M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5z"],
};

/** @param {keyof typeof PATHS} which */
export function icon(which) {
  const lines = PATHS[which].map((d) => svg("path", { d }));
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, lines);
}
