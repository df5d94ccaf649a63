// Makes the pictures of docs/: a real rota with accounts, requests and decisions of its own. What only time brings (a day of
// requests, limits that have aged) is put into its answers on their way to the page.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { changed } from './lib/held.mjs';
import { suite } from './lib/suite.mjs';
import { TOP } from './lib/world.mjs';

const FOLDER = join(TOP, 'docs', 'screenshots');
const made = suite({ accounts: { work: 'openai', home: 'openai', team: 'openai', 'old-laptop': 'codex' } });
const MINUTE = 60_000, HOUR = 60 * MINUTE;
const later = ms => new Date(Date.now() + ms).toISOString();
const window = (name, left, resets) => ({ window: name, remainingPercent: left, resetsAt: later(resets) });

/** What a day would have left behind, by account. */
const AGED = {
  work: { email: 'ana@studio.example', plan: 'Pro', limits: { limitsConfidence: 'fresh', lastLimitProbeAt: later(-2 * MINUTE), windows: [window('5h', 18, 72 * MINUTE), window('weekly', 64, 3 * 24 * HOUR)] } },
  home: { email: 'ana@home.example', plan: 'Plus', limits: { limitsConfidence: 'fresh', lastLimitProbeAt: later(-2 * MINUTE), windows: [window('5h', 72, 243 * MINUTE), window('weekly', 81, 5 * 24 * HOUR)] } },
  team: { email: 'bot@team.example', plan: 'Business', limits: { limitsConfidence: 'stale', lastLimitProbeAt: later(-23 * MINUTE), windows: [window('5h', 5, 40 * MINUTE), window('weekly', 40, 2 * 24 * HOUR)] } },
  'old-laptop': { email: 'ana.old@home.example', plan: 'Plus', limits: {} },
};
const aged = status => ({ ...status, accounts: status.accounts.map(account => ({ ...account, credential: { ...account.credential, email: AGED[account.alias].email, plan: AGED[account.alias].plan }, limits: { ...account.limits, ...AGED[account.alias].limits } })) });

/** Half a day of one account's limits: what is left falls while it is used, and fills up at the reset. */
function lived(account) {
  const now = AGED[account.alias]?.limits.windows;
  if (!now) return account;
  const history = Array.from({ length: 48 }, (_, i) => {
    const left = ({ window: name, remainingPercent: last, resetsAt }) => {
      const hours = (47 - i) / 4;
      const pace = name === '5h' ? 16 : 1.4;
      return { window: name, remainingPercent: Math.min(100, (last + hours * pace) % 101), resetsAt };
    };
    return { at: later((i - 47) * 15 * MINUTE), source: { kind: 'usage', endpoint: '/usage' }, windows: now.map(left) };
  });
  return { ...account, history };
}

/** A working day's curve. */
const CURVE = [20, 14, 10, 8, 7, 8, 16, 22, 35, 44, 58, 66, 75, 84, 95, 108, 110, 104, 98, 86, 74, 62, 50, 41];
function day(stats) {
  const hour = Math.floor(Date.now() / HOUR) * HOUR;
  const series = CURVE.map((n, i) => ({ at: new Date(hour - (CURVE.length - 1 - i) * HOUR).toISOString(), byAccount: { work: Math.round(n * 0.41), home: Math.round(n * 0.35), team: Math.round(n * 0.24) } }));
  const sum = name => series.reduce((all, { byAccount }) => all + byAccount[name], 0);
  const requests = sum('work') + sum('home') + sum('team');
  const byAccount = ['work', 'home', 'team'].map(alias => ({ alias, requests: sum(alias), share: sum(alias) / requests }));
  return { ...stats, requests, answered: requests - 2, answeredShare: (requests - 2) / requests, saved: 57, refused: 2, overheadMs: { p50: 0.4, p95: 1.1, p99: 1.9 }, firstByteMs: { p50: 1310, p95: 2900, p99: 4100 },
    byAccount, series, capacity: { remainingPercent: 32, emptiesFirst: { alias: 'work', at: later(70 * MINUTE) } } };
}

test('the pictures of docs/', { timeout: 600_000 }, async () => {
  await mkdir(FOLDER, { recursive: true });
  const { world } = made;
  await world.api('PUT', '/api/accounts/old-laptop/enabled', { enabled: false, reason: 'not used any more', force: true });
  await world.tell('faults', { when: { account: 'team', times: 1 }, do: [{ named: 'rate_limit_exceeded' }] }).catch(() => {});
  for (let i = 0; i < 9; i++) await world.ask({ session: i % 3 ? undefined : 'conversation-1' });
  const before = async page => {
    await changed(page, '**/api/status', aged);
    await changed(page, '**/api/stats*', day);
    await changed(page, '**/api/accounts/*', lived);
  };
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, path, ready] of [['overview', '', '#history svg.chart'], ['account', '#/accounts/work', '#history svg.chart'], ['decisions', '#/decisions', '#decisions li'], ['settings', '#/settings', '.setting'], ['sessions', '#/sessions', '#ties tbody tr'], ['connect', '#/connect', 'pre']]) {
      await made.visit(path, async page => {
        await page.locator(ready).first().waitFor();
        await page.locator('#live').filter({ hasText: /live|asking/ }).waitFor();
        await page.screenshot({ path: join(FOLDER, `${name}-${colorScheme}.png`), fullPage: ['overview', 'account'].includes(name) });
      }, { colorScheme, before });
    }
  }
  await made.visit('', async page => {
    await page.locator('#requests-card svg.chart').waitFor();
    await page.screenshot({ path: join(FOLDER, 'phone.png') });
  }, { viewport: { width: 360, height: 780 }, before });
});
