// Talks to the gateway: login, tokens, problems, and the server's clock. The login is a cookie, which no script sees.

/** A failure in plain words; `code` is the one of docs/API.md. */
export class Problem extends Error {
  constructor(status, body, retryAfterS) {
    const fields = body.errors?.map((error) => `${error.field}: ${error.message}`).join('; ');
    super(fields || body.detail || `HTTP ${status}`);
    this.status = status;
    this.code = body.code;
    this.retryAfterS = retryAfterS;
  }
}

/** A value that lives as long as the tab. */
export function memory(name) {
  return {
    read: () => JSON.parse(sessionStorage.getItem(name) ?? 'null'),
    write: (value) => sessionStorage.setItem(name, JSON.stringify(value)),
    clear: () => sessionStorage.removeItem(name),
  };
}

let serverAheadMs = 0;

/** The server's time in milliseconds: a shopper's clock may be wrong by minutes. */
export function now() {
  return Date.now() + serverAheadMs;
}

/** Calls `write` at every new second of the server's clock. */
export function onClock(write) {
  write();
  setTimeout(() => onClock(write), 1000 - (now() % 1000));
}

/** A key that makes a request safe to repeat. Also where there is no secure context, unlike `randomUUID`. */
export function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

let refreshing;

/** Goes on with a login whose cookie has ended. All who ask at the same time share one request. */
function refresh() {
  refreshing ??= fetch('/api/auth/refresh', { method: 'POST' })
    .then((answer) => answer.ok, () => false)
    .finally(() => (refreshing = undefined));
  return refreshing;
}

/** Sends a request as the one who is logged in. `key` is an idempotency key, `passes` are access tokens. */
export async function ask(method, path, options = {}) {
  try {
    return await send(method, path, options);
  } catch (problem) {
    const goesOn = problem.status === 401 && !path.startsWith('/api/auth/') && (await refresh());
    if (!goesOn) throw problem;
    return send(method, path, options);
  }
}

async function send(method, path, { body, key, passes = [] }) {
  const headers = new Headers({ Accept: 'application/json' });
  if (key) headers.set('Idempotency-Key', key);
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  for (const token of passes) headers.append('X-Access-Token', token);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { code: 'unreachable', detail: 'The shop cannot be reached.' }, 5);
  }
  setClock(answer);
  const text = await answer.text();
  let json = {};
  try {
    json = text ? JSON.parse(text) : {};
  } catch {
    // A proxy's error page is no problem body: its status has to do.
  }
  if (json.serverTime) serverAheadMs = Date.parse(json.serverTime) - Date.now();
  if (!answer.ok) throw new Problem(answer.status, json, Number(answer.headers.get('Retry-After')) || undefined);
  return json;
}

/** The `Date` header is exact to a second, which is enough until a place tells the time. */
function setClock(answer) {
  const date = Date.parse(answer.headers.get('Date') ?? '');
  if (!Number.isNaN(date) && Math.abs(date - now()) > 1500) serverAheadMs = date - Date.now();
}

export async function login(loginId, password) {
  await ask('POST', '/api/auth/login', { body: { loginId, password } });
}

/** Ends the login in this browser, and forgets everything that belongs to it. */
export async function logout() {
  sessionStorage.clear();
  await ask('POST', '/api/auth/logout');
}
