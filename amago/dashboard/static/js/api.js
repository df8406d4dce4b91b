// Talking to the server, or, in an exported page, to the data inside the page.

import { answer } from "./offline.js";

/** The server did not answer at all (it was stopped, or the SSH tunnel closed). */
export class Disconnected extends Error {}

/** True in a page written by `amago dashboard --export`: there is no server and nothing changes. */
export const isExported = Boolean(globalThis.AMAGO_EXPORT);

export const api = {
  /**
   * The JSON answer of a GET. Throws `Disconnected`, or an Error whose message can be shown to the
   * user.
   */
  get: (path) => request("GET", path, undefined),
  /** The JSON answer of a POST with a JSON body. Throws as `get` does. */
  post: (path, body) => request("POST", path, body),
};

async function request(method, path, body) {
  if (isExported) return answer(path, body);
  const response = await send(method, path, body);
  if (response.ok) return response.json();
  throw new Error(await reason(response));
}

async function send(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(path, options);
  } catch {
    throw new Disconnected("The dashboard's server does not answer.");
  }
}

async function reason(response) {
  try {
    return (await response.json()).error ?? response.statusText;
  } catch {
    return `The server answered ${response.status} ${response.statusText}.`;
  }
}
