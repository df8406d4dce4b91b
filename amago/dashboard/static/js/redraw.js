// Filling a part of the page anew without taking it away from the reader.

/** The log has a place of its own: its end, as long as it is followed. */
const SCROLLED = ".scroller, pre:not(.log-text)";
const FOCUSED = "a, button, input, select, summary, [tabindex]";

/** Runs `draw`, which fills `container` anew; then puts back what was scrolled and focused in it. */
export function keepingPlace(container, draw) {
  const places = [...container.querySelectorAll(SCROLLED)].map((e) => [e.scrollLeft, e.scrollTop]);
  const index = [...container.querySelectorAll(FOCUSED)].indexOf(document.activeElement);
  const label = document.activeElement?.textContent;
  draw();
  container.querySelectorAll(SCROLLED).forEach((element, i) => {
    const [left, top] = places[i] ?? [0, 0];
    if (left || top) element.scrollTo({ left, top, behavior: "instant" });
  });
  if (index < 0 || container.contains(document.activeElement)) return;
  const same = container.querySelectorAll(FOCUSED)[index];
  if (same?.textContent === label) same.focus({ preventScroll: true });
}

/** True while the reader selects text in `container`, or holds something in it with the pointer. */
export function isInUse(container) {
  const selection = getSelection();
  const isSelecting = !selection.isCollapsed && container.contains(selection.anchorNode);
  return isSelecting || container.matches(":active");
}
