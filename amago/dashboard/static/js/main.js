// Starts the page: the runs on the left, the chosen page beside them, and news from the server
// every second.

import { api, Disconnected, isExported } from "./api.js";
import { applyTheme, rememberTheme, rememberedTheme } from "./theme.js";
import { assignColours } from "./colours.js";
import { el, replace } from "./dom.js";
import { firstSelection, labelsOf } from "./run_order.js";
import { groupKey, selectedIds } from "./plan.js";
import { groupsOf } from "./grouping.js";
import { header } from "./header.js";
import { noRunsYet } from "./empty.js";
import { Pages } from "./pages.js";
import { RunList } from "./runs.js";
import { shortcuts } from "./shortcuts.js";
import { state } from "./state.js";
import { watch } from "./live.js";

/**
 * While rows stream in, the list of metrics is read again at most so often: counts in it change all
 * the time.
 */
const CATALOGUE_EVERY_MS = 5000;
/** So long after opening the page, the newest of the runs that are known so far is shown. */
const FIRST_SELECTION_MS = 5000;

class Dashboard {
  /** What every part of the page works with; its entries are replaced as news arrive. */
  context = {
    api,
    state,
    /** @type {Map<string, Object>} id -> run, as /api/runs gives it */
    runs: new Map(),
    catalogue: null,
    /**
     * @type {{label: string, runs: string[]}[] | null} the groups that are drawn instead of single
     * runs
     */
    groups: null,
    /** Settings in which the selected runs differ: what they may be grouped by. */
    differing: [],
    /** @type {Map<string, string>} run id -> what its line is called */
    labels: new Map(),
    /**
     * Grows whenever the server was gone and came back: what was fetched before may be out of date.
     */
    connection: 0,
    /** The server's clock, in unix seconds: ages must not depend on the browser's. */
    now: () => Date.now() / 1000,
  };
  #roots = [];
  #header;
  #runList;
  #pages;
  /** Says that the server is gone, and what the last action ran into. */
  #connection = el("div", { class: "notice-bar", role: "alert", hidden: true });
  #failure = el("div", { class: "notice-bar", role: "alert", hidden: true });
  #catalogueAt = 0;
  #selection = 0;

  constructor() {
    const { context } = this;
    this.#runList = new RunList(context);
    this.#header = header(context, {
      onRuns: () => this.#toggleRuns(),
      onHelp: () => keys.showHelp(),
    });
    const aside = el(
      "aside",
      { class: "runs", id: "runs", "aria-label": "Runs" },
      this.#runList.element,
    );
    const shade = el("div", { class: "shade", onclick: () => this.#toggleRuns(false) });
    const main = el("main", { class: "view", id: "view", tabIndex: -1 });
    replace(
      document.body,
      this.#header.element,
      this.#connection,
      this.#failure,
      aside,
      shade,
      main,
    );
    this.#pages = new Pages(main, context);
    const keys = shortcuts(context, { focusAxis: () => this.#header.axis.focus() });
  }

  async start() {
    state.followAddress();
    if (state.get("theme") === "auto") state.set({ theme: rememberedTheme() }, { replace: true });
    applyTheme(state.get("theme"));
    this.#header.refresh();
    this.#subscribe();
    await this.#guarded(async () => {
      await this.#loadRuns();
      await this.#select();
    });
    if (isExported) return;
    watch(api, {
      onChange: (changed) => this.#guarded(() => this.#takeNews(changed)),
      onProblem: (problem) => say(this.#connection, problem),
      onReturn: () => this.#guarded(() => this.#takeAll()),
    });
  }

  #subscribe() {
    state.subscribe(["theme"], () => {
      applyTheme(state.get("theme"));
      rememberTheme(state.get("theme"));
    });
    state.subscribe(["runs"], () => this.#guarded(() => this.#select()));
    state.subscribe(["groupby"], () => this.#regroup());
    state.subscribe(["tab"], () => this.#pages.show());
    addEventListener("keydown", (event) => event.key === "Escape" && this.#toggleRuns(false));
  }

  async #loadRuns() {
    const answer = await api.get("/api/runs");
    const ahead = isExported ? 0 : answer.now - Date.now() / 1000;
    const { context } = this;
    this.#roots = answer.roots;
    context.now = () => Date.now() / 1000 + ahead;
    context.runs = replaceEntries(context.runs, answer.runs);
    context.labels = labelsOf(answer.runs);
    this.#selectFirst(answer.runs);
  }

  /**
   * On a first visit: picks the newest runs, as soon as the server has looked into all of them (or
   * takes too long).
   */
  #selectFirst(runs) {
    const isKnown = runs.length > 0 && !runs.some((run) => run.status === "loading");
    const isLate = performance.now() > FIRST_SELECTION_MS;
    const chosen = isKnown || isLate ? firstSelection(runs) : [];
    if (state.get("runs") === null && chosen.length > 0)
      state.set({ runs: chosen }, { replace: true });
  }

  /**
   * Shows the selected runs. Only the latest of several quick changes is carried out to the end.
   */
  async #select() {
    this.#selection += 1;
    const mine = this.#selection;
    this.#colour();
    this.#runList.refresh();
    if (this.context.runs.size === 0) return this.#pages.showInstead(noRunsYet(this.#roots));
    const ids = selectedIds(this.context);
    const [catalogue] = await Promise.all([
      this.#fetchCatalogue(ids),
      this.#fetchDiffering(ids, mine),
    ]);
    if (mine !== this.#selection) return;
    this.context.catalogue = catalogue;
    this.#header.refresh();
    this.#pages.select();
  }

  #fetchCatalogue(ids) {
    this.#catalogueAt = Date.now();
    return api.post("/api/metrics", { runs: ids });
  }

  /** Waited for only if the view needs it: the charts come first. */
  async #fetchDiffering(ids, mine) {
    const fetching =
      ids.length < 2 ? Promise.resolve({ rows: [] }) : api.post("/api/diff", { runs: ids });
    const take = ({ rows }) => {
      if (mine !== this.#selection) return;
      this.context.differing = rows;
      this.#regroup();
    };
    const groupby = state.get("groupby");
    if (groupby !== "" && groupby !== "group") take(await fetching);
    else this.#guarded(async () => take(await fetching));
  }

  #regroup() {
    this.#colour();
    this.#runList.refresh();
    this.#pages.regroup();
  }

  #colour() {
    const { context } = this;
    const ids = selectedIds(context);
    const runs = ids.map((id) => context.runs.get(id));
    const groupby = state.get("groupby");
    context.groups = groupby === "" ? null : groupsOf(runs, groupby, context.differing);
    if (context.groups === null) return assignColours(ids);
    const keys = context.groups.map(({ label }) => groupKey(label));
    const members = context.groups.flatMap(({ label, runs: all }) =>
      all.map((id) => [id, groupKey(label)]),
    );
    assignColours(keys, new Map(members));
  }

  /**
   * The list of runs, or some of them, changed on the server; `versions`: the new version of each
   * that did.
   */
  async #takeNews(versions) {
    const { context } = this;
    const known = new Map(context.runs);
    await this.#loadRuns();
    const ids = selectedIds(context);
    if (known.size === 0 || ids.some((id) => !known.has(id)) || context.catalogue === null)
      return this.#select();
    this.#runList.refresh();
    const news = ids.filter((id) => id in versions && known.get(id).version !== versions[id]);
    if (news.length === 0) return;
    const hasNewMetrics = news.some(
      (id) => known.get(id).num_metrics !== context.runs.get(id).num_metrics,
    );
    if (hasNewMetrics || Date.now() - this.#catalogueAt > CATALOGUE_EVERY_MS) {
      context.catalogue = await this.#fetchCatalogue(ids);
    }
    this.#pages.update(news);
  }

  /** The server was gone for a while: everything may have changed. */
  async #takeAll() {
    this.context.connection += 1;
    await this.#loadRuns();
    await this.#select();
  }

  /** Runs `work`; what goes wrong is said at the top of the page, until something succeeds. */
  async #guarded(work) {
    try {
      await work();
      say(this.#failure, "");
    } catch (error) {
      if (!(error instanceof Disconnected))
        say(this.#failure, `This did not work: ${error.message}`);
    }
  }

  #toggleRuns(isOpen) {
    document.body.classList.toggle("has-runs-open", isOpen);
  }
}

function say(notice, text) {
  notice.textContent = text;
  notice.hidden = text === "";
}

/**
 * `map` with the given runs, in their order; the same Map, because the parts of the page hold on to
 * it.
 */
function replaceEntries(map, runs) {
  map.clear();
  for (const run of runs) map.set(run.id, run);
  return map;
}

new Dashboard().start();
