// The admin API: one way to ask, one kind of error. The token is kept for this tab only, and is in no address.
const KEY = 'rota.token';

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: text => sessionStorage.setItem(KEY, text),
  drop: () => sessionStorage.removeItem(KEY),
};

/** What the API said instead of an answer; `status` 0: nothing came. */
export class Refused extends Error {
  constructor(status, { code, message, details } = {}) {
    super(message ?? `rota answered ${status}`);
    Object.assign(this, { status, code, details });
  }
  /** This rota has no such endpoint, or it is switched off. */
  get absent() {
    return ['NOT_FOUND', 'METHOD_NOT_ALLOWED', 'FEATURE_DISABLED'].includes(this.code);
  }
  get lost() {
    return this.status === 0;
  }
}

/** The reply itself, where it is a success. */
export async function ask(method, path, body, signal) {
  const headers = { 'x-rota-actor': 'dashboard' };
  const held = token.get();
  if (held) headers.authorization = `Bearer ${held}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let reply;
  try {
    reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: 'no-store' });
  } catch {
    throw new Refused(0, { code: 'UNREACHABLE', message: 'rota does not answer; is it running?' });
  }
  if (reply.ok) return reply;
  const said = await reply.json().catch(() => ({}));
  // A late refusal of a token says nothing of the one that was given since.
  if (reply.status === 401 && held === token.get()) dispatchEvent(new Event('rota:signed-out'));
  throw new Refused(reply.status, said.error);
}

/** The answer's JSON; nothing for 204. */
export async function api(method, path, body) {
  const reply = await ask(method, path, body);
  return reply.status === 204 ? null : reply.json();
}

export const get = path => api('GET', path);
export const account = (alias, rest = '') => `/api/accounts/${encodeURIComponent(alias)}${rest}`;

/** What came of an endpoint that this rota may not have: null where it has not. */
export async function getIfThere(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.absent) return null;
    throw error;
  }
}
