// Values of a section in which every metric has one.

/** What a metric measures, without where: metrics of one family share a scale. */
export function familyOf(title) {
  const at = title.indexOf(" in ");
  return at < 0 ? title.replace(/\s*\(Across .*\)$/, "") : title.slice(0, at);
}

/** The last finite value; null if there is none. */
export function lastFinite(values) {
  return values.findLast((value) => Number.isFinite(value)) ?? null;
}
