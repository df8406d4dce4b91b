// Exponential smoothing of a drawn line.

/**
 * The exponential moving average of `values`, debiased: without the correction the first points
 * would be pulled towards zero. Gaps (`null`, NaN) stay gaps and do not change the average.
 * @param {(number | null)[]} values
 * @param {number} weight 0 (no smoothing) up to, but not including, 1
 * @returns {(number | null)[]}
 */
export function smooth(values, weight) {
  if (!(weight > 0)) return values;
  let average = 0;
  let correction = 1;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    average = weight * average + (1 - weight) * value;
    correction *= weight;
    return average / (1 - correction);
  });
}
