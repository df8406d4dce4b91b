// The one place that knows what is being looked at. Every change goes into the address bar, so that
// back and forward work and a copied address shows the same view; whoever shows something
// subscribes to the keys it depends on.

import { DEFAULTS, decode, encode, isSame } from "./view_state.js";

/**
 * Changes of these keys alone replace the current history entry: a slider must not leave fifty of
 * them.
 */
const TRANSIENT = new Set(["search", "smooth", "theme"]);

class State {
  #view = { ...DEFAULTS };
  /** @type {Set<{keys: Set<string>, fn: (changed: Set<string>) => void}>} */
  #subscribers = new Set();

  /** The value of a key (see `DEFAULTS` in view_state.js). Do not change it in place. */
  get(key) {
    return this.#view[key];
  }

  /**
   * Changes some keys, writes the address and tells the subscribers once.
   * @param {Object<string, any>} patch
   * @param {{replace?: boolean}} [options] replace: no new entry in the history
   */
  set(patch, { replace = false } = {}) {
    const changed = this.#apply({ ...this.#view, ...patch });
    if (changed.size === 0) return;
    const isTransient = [...changed].every((key) => TRANSIENT.has(key));
    const method = replace || isTransient ? "replaceState" : "pushState";
    history[method](null, "", `#${encode(this.#view)}`);
    this.#tell(changed);
  }

  /**
   * Calls `fn(changedKeys)` after any of `keys` changed.
   * @param {string[]} keys
   * @returns {() => void} ends the subscription
   */
  subscribe(keys, fn) {
    const subscriber = { keys: new Set(keys), fn };
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Takes the view from the address, now and whenever the user goes back, forward or edits it. */
  followAddress() {
    const read = () => this.#tell(this.#apply(decode(location.hash)));
    addEventListener("popstate", read);
    read();
  }

  #apply(view) {
    const changed = new Set(Object.keys(view).filter((key) => !isSame(view[key], this.#view[key])));
    this.#view = view;
    return changed;
  }

  #tell(changed) {
    for (const { keys, fn } of [...this.#subscribers]) {
      if ([...changed].some((key) => keys.has(key))) fn(changed);
    }
  }
}

export const state = new State();
