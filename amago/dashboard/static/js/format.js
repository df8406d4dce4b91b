// Numbers, times and sizes as people read them. Pure functions of their arguments; missing values
// give "–".

const MISSING = "–";
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const SI = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

const isMissing = (value) => value === null || value === undefined || Number.isNaN(value);

/** A measured value: about five significant digits ("0.01234", "-3.5", "1.2346e+8"). */
export function number(value) {
  if (isMissing(value)) return MISSING;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7))
    return value.toExponential(3).replace(/\.?0+e/, "e");
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return String(Number(value.toPrecision(5)));
}

/** A number of things, short: "950", "1.2k", "3.46M". */
export function count(value) {
  if (isMissing(value)) return MISSING;
  for (const [unit, suffix] of SI) {
    if (Math.abs(value) >= unit) return `${Number((value / unit).toPrecision(3))}${suffix}`;
  }
  return String(Number(Number(value).toPrecision(3)));
}

/** A size in bytes: "512 B", "1.5 KiB", "20 MiB". */
export function bytes(value) {
  if (isMissing(value)) return MISSING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${Number(size.toPrecision(size < 10 ? 2 : 3))} ${units[unit]}`;
}

/**
 * A length of time in seconds, in its two largest units: "4 s", "12 min", "3 h 20 min", "2 d 5 h".
 */
export function duration(seconds) {
  if (isMissing(seconds)) return MISSING;
  const total = Math.max(0, seconds);
  if (total < 1 && total > 0) return `${Number(total.toPrecision(2))} s`;
  if (total < MINUTE) return `${Math.floor(total)} s`;
  if (total < HOUR) return pair(total, MINUTE, "min", 1, "s");
  if (total < DAY) return pair(total, HOUR, "h", MINUTE, "min");
  return pair(total, DAY, "d", HOUR, "h");
}

/** How long ago the unix time `time` was: "just now", "5 min ago", "3 d ago". */
export function ago(time, now = Date.now() / 1000) {
  if (isMissing(time)) return MISSING;
  const seconds = now - time;
  if (seconds < 5) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  return `${Math.floor(seconds / DAY)} d ago`;
}

/** A unix time as local date and time: "2025-03-01 14:05:09". */
export function date(time) {
  if (isMissing(time)) return MISSING;
  const at = new Date(time * 1000);
  if (Number.isNaN(at.getTime())) return MISSING;
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${day} ${[two(at.getHours()), two(at.getMinutes()), two(at.getSeconds())].join(":")}`;
}

/**
 * A position on an axis, exactly: a date for Wall Time, a length of time for Process Time, else a
 * grouped number.
 */
export function axisValue(axis, value) {
  if (axis === "Wall Time") return date(value);
  if (axis === "Process Time") return duration(value);
  return number(value);
}

/**
 * Labels of evenly spaced ticks: "0", "500k", "1M", "1.5M"; `null` stays (uPlot's mark for no
 * label).
 */
export function ticks(splits, increment) {
  const largest = Math.max(...splits.map((value) => Math.abs(value ?? 0)));
  const isExtreme = largest !== 0 && (largest < 1e-3 || largest >= 1e15);
  const write = isExtreme ? shortExponent : (value) => withUnit(value, increment);
  return splits.map((value) => (value === null ? null : write(value)));
}

/**
 * Labels of ticks on a logarithmic axis, from "1e-6" to "100k": of the powers of ten if there are
 * two, else of all.
 */
export function logTicks(splits) {
  const isPower = (value) => value > 0 && Math.abs(Math.log10(value) % 1) < 1e-9;
  const hasPowers = splits.filter(isPower).length > 1;
  const write = (value) => (value < 1e-3 || value >= 1e15 ? shortExponent(value) : count(value));
  return splits.map((value) =>
    value === null || (hasPowers && !isPower(value)) ? null : write(value),
  );
}

/**
 * Labels of ticks on an axis of unix times `increment` seconds apart: the time, and below it the
 * day where it begins.
 */
export function timeTicks(splits, increment) {
  let dayBefore = "";
  return splits.map((value) => {
    const at = new Date(value * 1000);
    const day = `${MONTHS[at.getMonth()]} ${at.getDate()}`;
    const isNewDay = day !== dayBefore;
    dayBefore = day;
    if (increment >= DAY) return isNewDay ? `${day}\n${at.getFullYear()}` : "";
    const clock = date(value).slice(11, increment < MINUTE ? 19 : 16);
    return isNewDay ? `${clock}\n${day}` : clock;
  });
}

function withUnit(value, increment) {
  if (value === 0) return "0";
  const [unit, suffix] = SI.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
  return `${Number((value / unit).toFixed(decimalsOf(increment / unit)))}${suffix}`;
}

/** Decimals that write every multiple of `increment` (0.25: 2). */
function decimalsOf(increment) {
  let decimals = 0;
  while (
    decimals < 8 &&
    Math.abs(Math.round(increment * 10 ** decimals) - increment * 10 ** decimals) > 1e-6
  ) {
    decimals += 1;
  }
  return decimals;
}

function shortExponent(value) {
  return value === 0 ? "0" : Number(value.toPrecision(3)).toExponential().replace("e+", "e");
}

function pair(total, large, largeName, small, smallName) {
  const whole = Math.floor(total / large);
  const rest = Math.floor((total - whole * large) / small);
  return rest === 0 ? `${whole} ${largeName}` : `${whole} ${largeName} ${rest} ${smallName}`;
}

function two(value) {
  return String(value).padStart(2, "0");
}
