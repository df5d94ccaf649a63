// One account: signing in again, what is left and how far that can be trusted, cooldown, what people call it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe, NARROW, sideways } from './lib/browser.mjs';
import { changed, held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai', pro: 'codex' } });
const at = alias => `#/accounts/${alias}`;
const MINUTE = 60_000;

/** The account's limits, as the server would tell them later or after a failed try. */
const limited = (page, alias, limits) => changed(page, '**/api/status', status => ({
  ...status, accounts: status.accounts.map(account => (account.alias === alias ? { ...account, limits: { ...account.limits, ...limits } } : account)),
}));
const seen = (minutes, rest) => ({ windows: [{ window: '5h', remainingPercent: 5, resetsAt: new Date(Date.now() + 60 * MINUTE).toISOString() }], lastLimitProbeAt: new Date(Date.now() - minutes * MINUTE).toISOString(), ...rest });

test('limits that were never seen are the word unknown', () => made.visit(at('work'), async page => {
  const pill = page.locator('#limits [data-confidence=unknown]');
  await shows(pill, 'unknown');
  assert.doesNotMatch(await pill.innerText(), /\d/);
  assert.equal(await page.locator('#limits svg').count(), 0, 'nothing is drawn');
}));

for (const [confidence, minutes, rest, words] of [
  ['fresh', 1, {}, /5 %/],
  ['stale', 23, {}, /stale, 23 min old/],
  ['error', 23, { limitError: 'the usage endpoint answered 503', limitStatus: 'error' }, /error, 23 min old/],
]) {
  test(`limits that are ${confidence} say so`, () => made.visit(at('work'), async page => {
    await shows(page.locator('#limits'), words);
    await shows(page.locator('#limits'), '5 %');
    if (rest.limitError) assert.match(await page.locator('#limits .badge').getAttribute('title'), /answered 503/, 'the last error is in a tip');
  }, { before: page => limited(page, 'work', seen(minutes, { limitsConfidence: confidence, ...rest })) }));
}

test('a window that is empty is 0 %, and one that nobody knows is not', () => made.visit('', async page => {
  const row = alias => page.getByRole('row', { name: alias });
  await shows(row('home'), '0 %');
  await shows(row('work'), 'unknown');
  assert.doesNotMatch(await row('work').locator('[data-confidence]').innerText(), /%/);
}, { before: page => limited(page, 'home', { ...seen(1, { limitsConfidence: 'fresh' }), windows: [{ window: '5h', remainingPercent: 0, resetsAt: null }] }) }));

test('a cooldown is shown with its reason, who told it, and when it ends', async () => {
  await made.world.tell('faults', { when: { account: 'home', times: 1 }, do: [{ named: 'insufficient_quota' }] });
  await until('home cools down', async () => {
    await made.world.ask();
    const { body } = await made.world.api('GET', '/api/accounts');
    return body.accounts.find(account => account.alias === 'home').health.cooldown;
  });
  await made.visit(at('home'), async page => {
    await shows(page.locator('#cooldown'), /Cooling down: .*told by .*, since .* ago, back in /);
    const before = await page.locator('#cooldown time').last().innerText();
    assert.match(before, /in /);
  });
});

test('a name, weight, tags and notes are changed together, and are kept', () => made.visit(at('work'), async page => {
  const fill = (label, text) => page.getByLabel(label, { exact: true }).fill(text);
  await fill('Weight', '2');
  await page.getByRole('button', { name: 'Save' }).click();
  await shows(page.getByRole('alert'), 'above 0, at most 1');
  await fill('Weight', '0.5');
  await fill('Name', 'office');
  await fill('Tags', 'team, paid');
  await fill('Notes', 'ask ana@studio.example');
  const { seen: sent, letGo } = await held(page, '**/api/accounts/work', 'PATCH');
  await page.getByRole('button', { name: 'Save' }).dblclick();
  letGo();
  await page.getByRole('heading', { name: 'office', level: 1 }).waitFor();
  assert.equal(sent.length, 1);
  const { body } = await made.world.api('GET', '/api/accounts');
  const { weight, tags, notes } = body.accounts.find(account => account.alias === 'office');
  assert.deepEqual({ weight, tags, notes }, { weight: 0.5, tags: ['team', 'paid'], notes: 'ask ana@studio.example' });
  await page.reload();
  assert.equal(await page.getByLabel('Tags', { exact: true }).inputValue(), 'team, paid');
  await fill('Name', 'work');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'work', level: 1 }).waitFor();
}));

test('an account is removed after it was asked twice', async () => {
  await made.world.add('spare', 'openai');
  await made.visit(at('spare'), async page => {
    await page.getByRole('button', { name: 'Remove this account' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Remove this account' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await page.getByRole('heading', { name: 'Accounts' }).waitFor();
    await page.getByRole('row', { name: 'spare' }).waitFor({ state: 'detached' });
  });
  const { body } = await made.world.api('GET', '/api/accounts');
  assert.ok(!body.accounts.some(account => account.alias === 'spare'));
});

test('an account that is not there says so', () => made.visit(at('nobody'), async page => {
  await page.getByRole('heading', { name: 'There is no account nobody' }).waitFor();
}));

test('hostile texts stay text', () => made.visit(at('work'), async page => {
  const evil = '<img src=x onerror=alert(1)><script>document.title="owned"</script>{{7*7}}';
  await page.getByLabel('Notes', { exact: true }).fill(evil);
  await page.getByLabel('Tags', { exact: true }).fill('"><svg onload=alert(1)>');
  await page.getByRole('button', { name: 'Save' }).click();
  await until('they are kept', async () => (await made.world.api('GET', '/api/accounts')).body.accounts.find(a => a.alias === 'work').notes === evil);
  await page.reload();
  await until('they are shown', async () => (await page.getByLabel('Notes', { exact: true }).inputValue()) === evil);
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.doesNotMatch(await page.title(), /owned/);
}));

test('an upstream’s hostile words stay text too', () => made.visit(at('work'), async page => {
  await shows(page.locator('#limits'), '<img src=x onerror=alert(1)>');
  assert.equal(await page.locator('main img').count(), 0);
}, { before: page => limited(page, 'work', seen(23, { limitsConfidence: 'error', limitError: '<img src=x onerror=alert(1)>' })) }));

for (const [name, how] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['narrow', { viewport: NARROW }]]) {
  test(`axe finds nothing, and the page does not scroll sideways: ${name}`, () => made.visit(at('pro'), async page => {
    await page.getByRole('button', { name: 'Save' }).waitFor();
    assert.deepEqual(await axe(page), []);
    assert.equal(await sideways(page), 0);
  }, how));
}

test('what is left over time is a line, and the same figures as a table', async () => {
  const sample = (minutes, left) => ({ at: new Date(Date.now() - minutes * MINUTE).toISOString(), source: { kind: 'usage', endpoint: '/usage' }, windows: [{ window: '5h', remainingPercent: left, resetsAt: null }] });
  await made.visit(at('work'), async page => {
    await page.locator('#history polyline').waitFor();
    await page.getByText('Show as table').click();
    await shows(page.locator('#history table'), /80 %[\s\S]*42 %/);
    await page.goto(`${made.world.admin}/#/`);
    await page.getByLabel('Account shown').selectOption('work');
    await page.locator('#history polyline').waitFor();
  }, { before: page => changed(page, '**/api/accounts/work', account => ({ ...account, history: [sample(40, 80), sample(20, 61), sample(1, 42)] })) });
});
