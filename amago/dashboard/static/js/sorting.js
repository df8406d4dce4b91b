// Order of the rows of a table.

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Order of two texts, with numbers in them by size: "task-2" before "task-10". */
export function compareText(a, b) {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * A sorted copy of `rows`.
 *
 * `keyOf(row)` is a number or a text. What is not there (null, NaN) comes last in both
 * directions: it is neither small nor large. Rows that are equal keep their order.
 */
export function sortRows(rows, keyOf, isDescending = false) {
  const sign = isDescending ? -1 : 1;
  return rows
    .map((row, index) => ({ row, index, key: keyOf(row) }))
    .sort((a, b) => byKey(a.key, b.key, sign) || a.index - b.index)
    .map(({ row }) => row);
}

function byKey(a, b, sign) {
  if (isAbsent(a) || isAbsent(b)) return Number(isAbsent(a)) - Number(isAbsent(b));
  if (typeof a === "string" || typeof b === "string") {
    return sign * compareText(String(a), String(b));
  }
  return sign * (a - b);
}

function isAbsent(value) {
  return value === null || value === undefined || Number.isNaN(value);
}
