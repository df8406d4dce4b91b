// Noticing that runs changed: asks once a second while the page can be seen.

import { Disconnected } from "./api.js";

const EVERY_MS = 1000;
const DISCONNECTED =
  "Disconnected: the server of this page does not answer. " +
  "What is shown stays; it goes on by itself as soon as the server is back.";

/**
 * What to do with the answers:
 * - `onChange(versions)`: some runs changed (run id -> new version), or, with none, the list did;
 * - `onProblem(text)`: asking failed; "" as soon as it works again;
 * - `onReturn()`: the server was gone and is back: anything may have changed.
 * @typedef {{onChange: (versions: Object<string, number>) => Promise<void>,
 *            onProblem: (text: string) => void, onReturn: () => Promise<void>}} Listener
 */

/**
 * Asks for as long as the page is open.
 * @param {{get: (path: string) => Promise<any>}} api
 * @param {Listener} listener
 */
export function watch(api, { onChange, onProblem, onReturn }) {
  let cursor = "";
  let timer = 0;
  let isAsking = false;
  let wasGone = false;

  async function ask() {
    if (isAsking || document.hidden) return;
    isAsking = true;
    try {
      await take(await api.get(`/api/changes?since=${encodeURIComponent(cursor)}`));
    } catch (error) {
      wasGone = true;
      onProblem(error instanceof Disconnected ? DISCONNECTED : error.message);
    }
    isAsking = false;
    clearTimeout(timer);
    timer = setTimeout(ask, EVERY_MS);
  }

  async function take(news) {
    cursor = news.cursor;
    const isReturn = wasGone;
    wasGone = false;
    onProblem("");
    if (isReturn) await onReturn();
    else if (news.list_changed || Object.keys(news.changed).length > 0)
      await onChange(news.changed);
  }

  document.addEventListener("visibilitychange", ask); // catch up at once when seen again
  ask();
}
