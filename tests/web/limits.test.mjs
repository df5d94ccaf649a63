// What is left: asked for by a person, and never told as known where it is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changed, held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const MINUTE = 60_000;
// Nobody asks but who is told to: a slow machine comes to the page after rota's own first look.
const made = suite({ accounts: { work: 'openai', pro: 'codex', team: 'codex' }, settings: '[probe]\nevery = "0s"' });
const at = minutes => new Date(Date.now() + minutes * MINUTE).toISOString();
const row = (page, alias) => page.getByRole('row', { name: alias });
/** How often the upstream was asked what is left of an account. */
const asked = async alias => (await made.world.tell('requests')).requests.filter(({ path, account }) => path.endsWith('/wham/usage') && account === alias).length;

/** The server's answer, with limits of one account as they would be later. */
const limited = (page, alias, limits) => changed(page, '**/api/status', status => ({
  ...status, accounts: status.accounts.map(account => (account.alias === alias ? { ...account, limits: { ...account.limits, ...limits } } : account)),
}));

test('Probe now asks the provider once, and shows what it said', () => made.visit('#/accounts/pro', async page => {
  await shows(page.locator('#limits'), 'unknown');
  assert.equal(await asked('pro'), 0);
  const { seen, letGo } = await held(page, '**/api/limits/refresh', 'POST');
  await page.getByRole('button', { name: 'Probe now' }).dblclick();
  letGo();
  await shows(page.locator('#limits'), /5-hour\s*100 %/);
  await shows(page.locator('#limits'), /Seen \d+ s ago/);
  assert.equal(seen.length, 1);
  assert.equal(await asked('pro'), 1);
  assert.equal(await asked('team'), 0, 'nobody else was asked about');
}));

test('Probe all now asks about every account that tells', () => made.visit('', async page => {
  await shows(row(page, 'team'), 'unknown');
  const before = await asked('pro');
  await page.getByRole('button', { name: 'Probe all now' }).click();
  await shows(row(page, 'team'), /5-hour\s*100 %/);
  await until('both were asked about', async () => (await asked('team')) === 1 && (await asked('pro')) === before + 1);
  await shows(row(page, 'work'), 'unknown');
}));

test('a probe that fails says of whom, and why', async () => {
  await made.world.tell('faults', { when: { account: 'team', path: '/backend-api/wham/usage' }, do: [{ reply: { status: 503, body: {} } }] });
  await made.visit('', async page => {
    await page.getByRole('button', { name: 'Probe all now' }).click();
    await shows(page.locator('#asked'), 'No answer about team.');
    await page.goto(`${made.world.admin}/#/accounts/team`);
    await shows(page.locator('#limits'), /The last try to learn it failed .*503/);
  });
});

test('a window that has been reset since it was seen is unknown', () => made.visit('', async page => {
  await shows(row(page, 'work'), 'weekly');
  await shows(row(page, 'work'), /5-hour: unknown, reset 3 min ago/);
  assert.doesNotMatch(await row(page, 'work').locator('[data-confidence]').innerText(), /\b5 %/);
}, { before: page => limited(page, 'work', { limitsConfidence: 'stale', lastLimitProbeAt: at(-20),
  windows: [{ window: '5h', remainingPercent: 5, resetsAt: at(-3) }, { window: 'weekly', remainingPercent: 64, resetsAt: at(3000) }] }) }));

test('what is left in all is unknown where nothing is known, and nobody is said to have enough', () => made.visit('', async page => {
  const figure = page.locator('.kpis > div', { hasText: 'Capacity left' });
  await shows(figure, 'unknown');
  await shows(figure, /nobody is known to run dry; 3 accounts unknown/);
}, { before: async page => {
  await changed(page, '**/api/stats*', stats => ({ ...stats, capacity: { remainingPercent: null, emptiesFirst: null } }));
  await changed(page, '**/api/status', status => ({ ...status, accounts: status.accounts.map(account => ({ ...account, limits: { ...account.limits, limitsConfidence: 'unknown' } })) }));
} }));

test('what has not come yet is loading, not none', () => made.visit('', async page => {
  await page.getByRole('heading', { name: 'Overview' }).waitFor({ state: 'attached' });
  await shows(page.locator('#latest'), 'Loading…');
  await shows(page.locator('#shares'), 'Loading…');
  await shows(page.locator('.kpis'), 'loading');
  assert.doesNotMatch(await page.locator('main').innerText(), /No request|none yet|Not available|unknown/);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
}, { before: page => page.route('**/api/**', () => {}) }));

test('the history shown is that of the account that was chosen last', async () => {
  const history = left => [30, 10].map(minutes => ({ at: at(-minutes), source: { kind: 'usage' }, windows: [{ window: '5h', remainingPercent: left, resetsAt: null }] }));
  let letGo;
  const gate = new Promise(done => (letGo = done));
  await made.visit('', async page => {
    const chosen = page.getByLabel('Account shown');
    await chosen.waitFor();
    await page.route('**/api/accounts/pro', async route => {
      await gate;
      await route.fulfill({ json: { history: history(11) } });
    });
    await page.route('**/api/accounts/team', route => route.fulfill({ json: { history: history(77) } }));
    const slow = page.waitForRequest('**/api/accounts/pro');
    await chosen.selectOption('pro');
    await slow;
    await chosen.selectOption('team');
    await shows(page.locator('#history .legend'), '77 %');
    const late = page.waitForResponse('**/api/accounts/pro');
    letGo();
    await (await late).finished();
    // The button has everything drawn anew, and is drawn itself.
    await page.getByRole('button', { name: 'Hide e-mails' }).click();
    await page.locator('#privacy[aria-pressed=true]').waitFor();
    assert.match(await page.locator('#history .legend').innerText(), /77 %/);
  });
});
