// Asks the API of the broker, with the token if one is needed.
//
// Called by `dashboard`. Next: `samples` for what cores answer, `tables` for lists.
//
// Always true:
// - The token is kept in sessionStorage: it ends with the tab, and goes to this origin only.
// - A request that is not answered in time is given up, so that requests never pile up.

const TOKEN_KEY = "blipmq-token";
const ANSWER_MS_MAX = 8000;

/** The broker wants a token, or another one. */
export class TokenWanted extends Error {}

/** The broker does not answer, or with what cannot be used. */
export class NoAnswer extends Error {}

let token = null;
try {
  token = sessionStorage.getItem(TOKEN_KEY);
} catch {
  // A browser that keeps nothing: the token then holds until the page is closed.
}

export function hasToken() {
  return token !== null;
}

/** Sends this token from now on; null sends none. */
export function useToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, value);
  } catch {
    // As above.
  }
}

/** What an error answer says, if it is the JSON that errors of the API are. */
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
    response = await fetch(`/api/v1/${path}`, {
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (problem) {
    const late = problem.name === "TimeoutError";
    throw new NoAnswer(late ? `no answer within ${ANSWER_MS_MAX / 1000} s` : "no connection");
  }
  if (response.status === 401) throw new TokenWanted(`HTTP 401${await errorText(response)}`);
  if (!response.ok) throw new NoAnswer(`HTTP ${response.status}${await errorText(response)}`);
  try {
    return await response.json();
  } catch {
    throw new NoAnswer("an answer that is not JSON, or broke off");
  }
}
