// The page beside the list of runs: charts, overview, config, log, files or media.

import { replace } from "./dom.js";
import { show as charts } from "./charts.js";
import { show as config } from "./views/config.js";
import { show as files } from "./views/files.js";
import { show as log } from "./views/log.js";
import { show as media } from "./views/media.js";
import { show as overview } from "./views/overview.js";

const PAGES = { charts, overview, config, log, files, media };

export class Pages {
  #container;
  #context;
  #tab = "";
  #shown = null;
  /** @type {Map<string, number>} page -> where it was scrolled to, to find it like that again */
  #scrolled = new Map();

  constructor(container, context) {
    this.#container = container;
    this.#context = context;
  }

  /** Shows the page the address names, from the start. */
  show() {
    if (this.#context.catalogue === null) return;
    this.#clear();
    this.#tab = this.#context.state.get("tab");
    this.#container.dataset.page = this.#tab;
    this.#shown = PAGES[this.#tab](this.#container, this.#context);
    scrollTo(0, this.#scrolled.get(this.#tab) ?? 0);
  }

  /** Shows this element instead of any page. */
  showInstead(element) {
    this.#clear();
    replace(this.#container, element);
  }

  /** Other runs are selected: a page that cannot change to them is begun anew. */
  select() {
    if (this.#tab === this.#context.state.get("tab") && this.#shown?.select) this.#shown.select();
    else this.show();
  }

  /** The runs are grouped differently, which matters to charts only. */
  regroup() {
    this.#shown?.regroup?.();
  }

  /** Some of the selected runs have new rows. @param {string[]} changedRuns */
  update(changedRuns) {
    this.#shown?.update(changedRuns);
  }

  #clear() {
    if (this.#shown) this.#scrolled.set(this.#tab, scrollY);
    this.#shown?.destroy();
    this.#shown = null;
    this.#tab = "";
    this.#container.replaceChildren();
  }
}
