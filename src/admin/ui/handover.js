// The ticket that `rota dashboard` puts behind the address: traded for the token once, and gone from the address first.
import { api, token } from './api.js';

/** True when there was one and it was good. */
export async function redeem() {
  const ticket = /^#ticket=(.+)$/.exec(location.hash)?.[1];
  if (!ticket) return false;
  history.replaceState(null, '', location.pathname);
  const given = await api('POST', '/api/handover/redeem', { ticket });
  token.set(given.token);
  return true;
}
