// Requests to the API of the broker, with the token if the broker requires one.
//
// Called by `dashboard`. Next: `samples` for the answers of cores, `tables` for lists.
//
// Always true:
// - The token is kept in sessionStorage: it ends with the tab, and is sent to this origin only.
// - Paths are relative to the page, which may be served below a path of a proxy.
// - A request without an answer in time is aborted, so that requests never pile up.

const TOKEN_KEY = "blipmq-token";
const ANSWER_MS_MAX = 8000;

/** The broker requires a token, or refused the one it was sent. */
export class TokenRequired extends Error {}

/** There is no answer of the broker, or none that can be used. */
export class NoAnswer extends Error {}

let token = null;
try {
  token = sessionStorage.getItem(TOKEN_KEY);
} catch {
  // A browser without storage: the token is then kept until the page is closed.
}

export function hasToken() {
  return token !== null;
}

/** Changes the token that requests send; null sends none. */
export function useToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, value);
  } catch {
    // As above.
  }
}

/** The text of an error answer, if it is JSON as errors of the API are. */
async function errorText(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? `: ${error}` : "";
  } catch {
    return "";
  }
}

/** The JSON answer to GET `path`, such as "status". */
export async function get(path) {
  const headers = { Accept: "application/json" };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(`api/v1/${path}`, {
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (problem) {
    const timedOut = problem.name === "TimeoutError";
    throw new NoAnswer(timedOut ? `no answer within ${ANSWER_MS_MAX / 1000} s` : "no connection");
  }
  if (response.status === 401) throw new TokenRequired(`HTTP 401${await errorText(response)}`);
  if (!response.ok) throw new NoAnswer(`HTTP ${response.status}${await errorText(response)}`);
  try {
    return await response.json();
  } catch {
    throw new NoAnswer("the answer is not JSON, or is cut off");
  }
}
