// The accounts: who serves, how much is left, and the one switch that takes an account out of rotation.
import { sure, toggle } from './act.js';
import { account as path, api } from './api.js';
import { h, missing, table } from './dom.js';
import { reload } from './live.js';
import { meters } from './limits.js';
import { percent, state } from './words.js';
import { accounts, when, world } from './world.js';

/** In rotation or not. The last one of a provider is asked about. */
export function enabledSwitch(account) {
  const { alias, provider, enabled } = account;
  const flip = async to => {
    try {
      await api('PUT', path(alias, '/enabled'), { enabled: to });
    } catch (error) {
      if (error.code !== 'LAST_ENABLED') throw error;
      if (!(await sure(`Switch ${alias} off?`, `It is the last enabled account of ${provider}: requests will be refused.`, 'Switch it off'))) return;
      await api('PUT', path(alias, '/enabled'), { enabled: to, force: true });
    }
    await reload();
  };
  return toggle(`enabled ${alias}`, { on: enabled, label: `${alias} in rotation`, look: 'switch', flip });
}

const ACTIONS = 'Actions';

/** The state in a word, and why. */
export function stateOf({ eligibility, health, disabledBy, disabledAt, disableReason }) {
  const [mark, tone, words] = state(eligibility.state);
  const cooldown = health.cooldown;
  return [
    h('span', { class: `pill ${tone}` }, `${mark} ${words}`),
    cooldown ? h('div', { class: 'sub' }, `${cooldown.why} (${cooldown.source}), back `, when(cooldown.until))
      : disabledAt ? h('div', { class: 'sub' }, `by ${disabledBy} `, when(disabledAt), disableReason && `: ${disableReason}`)
        : eligibility.reason && h('div', { class: 'sub' }, eligibility.reason, eligibility.fix && [': ', h('code', {}, eligibility.fix)]),
  ];
}

/** Until when the login is good. */
export function tokenOf({ state: kept, kind, expiresAt, renewsItself, detail }) {
  if (kept !== 'usable') return h('span', { class: 'bad', title: detail }, kept === 'missing' ? 'missing' : 'needs sign-in');
  if (!expiresAt) return kind === 'oauth' ? 'does not say' : `${kind}, does not expire`;
  const over = Date.parse(expiresAt) <= Date.now() + world.skew;
  return h('span', { class: over && !renewsItself ? 'bad' : null }, over ? 'expired ' : '', when(expiresAt), renewsItself ? ', renews itself' : '');
}

export const who = ({ email, plan }) => [email, plan].filter(Boolean).join(' · ');

function row(account) {
  const { alias, credential, limits, reauth } = account;
  const share = world.stats?.byAccount.find(one => one.alias === alias)?.share;
  const keyed = credential.kind && credential.kind !== 'oauth';
  const words = reauth?.shown === 'in-progress' ? 'Signing in…' : keyed ? 'Details' : 'Sign in again';
  const cells = [
    h('a', { href: `#/accounts/${encodeURIComponent(alias)}` }, h('b', {}, alias)),
    h('span', {}, enabledSwitch(account)),
    h('span', { class: 'sub' }, account.provider, h('br'), who(credential)),
    h('div', {}, stateOf(account)),
    meters(limits),
    share == null ? '–' : percent(share * 100),
    tokenOf(credential),
    h('a', { class: 'button', href: `#/accounts/${encodeURIComponent(alias)}`, 'aria-label': `${words}: ${alias}` }, words),
  ];
  cells.key = alias;
  return cells;
}

/** All of them. */
export function accountsTable() {
  if (!world.status) return missing();
  if (!accounts().length) {
    return h('p', {}, 'No accounts yet. ', h('a', { href: '#/add' }, 'Add the first one'), ', or type ', h('code', {}, 'rota login NAME'), '.');
  }
  return table('Accounts table', ['Account', 'In rotation', 'Login', 'State', 'Left', 'Share, 24 h', 'Token', ACTIONS], accounts().map(row));
}

/** Asks the providers what is left, of all that tell when they are asked, or of some. What comes of it is in the accounts. */
export async function probe(aliases) {
  const { jobs } = await api('POST', '/api/limits/refresh', aliases ? { aliases } : {});
  if (!jobs.length) throw new Error('No account here tells what is left when it is asked.');
  await reload();
}

/** Whether an account is being asked, or will be. */
export const probing = ({ limits }) => ['queued', 'running'].includes(limits.refresh);
