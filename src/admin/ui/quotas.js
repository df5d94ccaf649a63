// The quotas of accounts outside the pool, as a plugin's file tells them: a panel to read from, there only while its flag is on.
import { card, h, missing, table } from './dom.js';
import { keep } from './live.js';
import { changed, region, when } from './world.js';

const EVERY = 30_000;

export function quotasView(main) {
  let page;
  main.append(h('h1', {}, 'Antigravity'));
  const place = region(h('div'), ['quotas'], () => {
    if (!page?.accounts) return missing(page);
    const { file, problem, accounts } = page;
    return card('quotas', 'Outside the pool', h('p', { class: 'sub' }, 'Read only: nothing here has a say in who serves. ', file && h('code', {}, file)), problem && h('p', { class: 'warn', role: 'alert' }, problem),
      accounts.length ? table('Accounts outside the pool', ['Account', 'State', 'Spent', 'Used last'], accounts.map(row)) : !problem && h('p', { class: 'mute' }, 'It holds no account.'));
  });
  main.append(place);
  keep(place, '/api/antigravity', 'settings', EVERY, answer => {
    page = answer;
    changed('quotas');
  });
}

function row({ email, enabled, active, needsVerification, lastUsedAt, coolingUntil, coolingReason, spentUntil }) {
  const words = [enabled ? (active ? 'active' : 'enabled') : 'off', needsVerification && 'needs verification'].filter(Boolean).join(', ');
  const spent = Object.entries(spentUntil);
  return [email ?? 'unnamed', [words, coolingUntil && [', cooling', coolingReason && ` (${coolingReason})`, ', back ', when(coolingUntil)]],
    spent.length ? spent.map(([name, until]) => h('div', {}, name, ': fills up ', when(until))) : 'nothing known to be spent', lastUsedAt ? when(lastUsedAt) : 'unknown'];
}
