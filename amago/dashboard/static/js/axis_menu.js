// The menus of x axes: the page's, in the top right corner, and the one of a single chart.

import { axisNote, currentAxis, matchingAxes } from "./axes.js";
import { Combobox } from "./combobox.js";

const SAME = "same as the page";

/**
 * The page's x axis.
 * @param {{state: any, catalogue: any}} context
 * @returns {{element: HTMLElement, focus: () => void, refresh: () => void}}
 */
export function axisMenu(context) {
  const { state } = context;
  const menu = new Combobox("X axis of all charts", {
    choicesFor: (typed) => choices(context, typed),
    onChoose: (axis) => state.set({ x: axis }),
  });
  return {
    element: menu.element,
    focus: () => menu.focus(),
    refresh: () => menu.show(currentAxis(state.get("x"), context.catalogue)),
  };
}

/**
 * The x axis of one chart, where it may differ from the page's.
 * @param {{state: any, catalogue: any}} context
 * @param {string} metric
 * @returns {HTMLElement}
 */
export function chartAxisMenu(context, metric) {
  const { state } = context;
  const same = { value: "", label: SAME };
  const menu = new Combobox(`X axis of ${metric}`, {
    choicesFor: (typed) => [
      ...(SAME.includes(typed.trim().toLowerCase()) ? [same] : []),
      ...choices(context, typed),
    ],
    onChoose: (axis) => {
      const { [metric]: _replaced, ...others } = state.get("axes");
      state.set({ axes: axis ? { ...others, [metric]: axis } : others });
    },
  });
  menu.show(state.get("axes")[metric] ?? SAME);
  return menu.element;
}

function choices({ catalogue }, typed) {
  const axes = catalogue?.axes ?? [];
  return matchingAxes(axes, typed).map((axis) => ({
    value: axis,
    label: axis,
    note: axisNote(axis),
  }));
}
