// The lines of charts: fetches them in batches, and keeps what was fetched until its run changes.

/** So many lines are kept (800 points each: about 13 kB). */
const MOST_KEPT = 4000;

/**
 * @typedef {Object} Wanted one chart's lines
 * @property {string} metric
 * @property {string[]} runs the runs to draw, in order
 * @property {{label: string, runs: string[]}[] | null} groups draw these instead, each as one line
 *   with a band
 * @property {string} statistic
 * @property {string} band
 * @property {string} axis
 * @property {[number, number] | null} range
 * @property {number} points
 */

export class Lines {
  #context;
  /** @type {Map<string, {version: string, line: Object}>} in the order of their last use */
  #kept = new Map();
  /** @type {{wanted: Wanted, resolve: Function, reject: Function}[]} */
  #queue = [];

  /** @param {{api: any, runs: Map<string, {version: number}>, connection: number}} context */
  constructor(context) {
    this.#context = context;
  }

  /** The lines if all of them are here and up to date, else null. @param {Wanted} wanted */
  kept(wanted) {
    const lines = this.#parts(wanted).map((part) => this.#find(part));
    return lines.includes(null) ? null : lines;
  }

  /**
   * The lines, fetched together with everything else that is asked for before the next frame.
   * @param {Wanted} wanted
   * @returns {Promise<Object[]>} one {x, y, low, high, run | group} for each run or group
   */
  fetch(wanted) {
    if (this.#queue.length === 0) requestAnimationFrame(() => this.#flush());
    return new Promise((resolve, reject) => this.#queue.push({ wanted, resolve, reject }));
  }

  async #flush() {
    const queue = this.#queue;
    this.#queue = [];
    try {
      await Promise.all(this.#requests(queue.map(({ wanted }) => wanted)));
      for (const { wanted, resolve } of queue)
        resolve(this.#parts(wanted).map((part) => this.#find(part) ?? part.none));
    } catch (error) {
      for (const { reject } of queue) reject(error);
    }
  }

  /** One request for all charts that need the same runs over the same part of the same axis. */
  #requests(all) {
    const batches = new Map();
    for (const wanted of all) {
      const missing = this.#parts(wanted).filter((part) => this.#find(part) === null);
      if (missing.length === 0) continue;
      const { metric: _one, runs: _own, ...shared } = wanted;
      const key = JSON.stringify([shared, missing.map((part) => part.owner)]);
      if (!batches.has(key)) batches.set(key, { wanted, missing, metrics: new Set() });
      batches.get(key).metrics.add(wanted.metric);
    }
    return [...batches.values()].map(({ wanted, missing, metrics }) =>
      this.#request(wanted, missing, [...metrics]),
    );
  }

  async #request(wanted, missing, metrics) {
    const { axis: x, range, points, groups, statistic, band } = wanted;
    const owners = missing.map((part) => part.owner);
    const versions = new Map(missing.map((part) => [part.owner, part.version]));
    const { api } = this.#context;
    if (groups) {
      const chosen = groups.filter(({ label }) => owners.includes(label));
      const body = { groups: chosen, metrics, x, points, statistic, band };
      const { bands } = await api.post("/api/bands", body);
      for (const line of bands)
        this.#keep({ ...wanted, metric: line.metric }, line.group, versions, line);
    } else {
      const body = { runs: owners, metrics, x, points, range };
      const { series } = await api.post("/api/series", body);
      for (const line of series)
        this.#keep({ ...wanted, metric: line.metric }, line.run, versions, line);
    }
  }

  #keep(wanted, owner, versions, line) {
    const key = keyOf(wanted, owner);
    this.#kept.delete(key);
    this.#kept.set(key, { version: versions.get(owner), line });
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value);
  }

  #find({ key, version }) {
    const found = this.#kept.get(key);
    return found !== undefined && found.version === version ? found.line : null;
  }

  /**
   * What a chart consists of: a line for each run or group, and the version of the runs behind it.
   */
  #parts(wanted) {
    const versionOf = (run) => this.#context.runs.get(run)?.version ?? 0;
    const owners = wanted.groups ?? wanted.runs.map((run) => ({ label: run, runs: [run] }));
    return owners.map(({ label, runs }) => ({
      owner: label,
      key: keyOf(wanted, label),
      version: [this.#context.connection, ...runs.map((run) => `${run}:${versionOf(run)}`)].join(),
      none: {
        [wanted.groups ? "group" : "run"]: label,
        metric: wanted.metric,
        x: [],
        y: [],
        low: null,
        high: null,
      },
    }));
  }
}

function keyOf({ metric, groups, statistic, band, axis, range, points }, owner) {
  return JSON.stringify([owner, metric, axis, points, groups ? [statistic, band] : range]);
}
