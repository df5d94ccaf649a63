// Settings: each value with where it comes from, checked before and by the server, kept, reset, and written down.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe, NARROW, sideways } from './lib/browser.mjs';
import { held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai' }, settings: '[rotation]\nmax_attempts = 2\n', env: { ROTA_ROTATION__PATIENCE: '45s' } });
const one = (page, name) => page.locator(`[name="${name}"], [name$=".${name}"]`).first();
const row = (page, name) => page.locator('.setting', { has: page.locator(`[name="${name}"], [name$=".${name}"]`) });
const save = page => page.getByRole('button', { name: 'Save', exact: true });
const kept = async name => (await made.world.api('GET', '/api/settings')).body.settings.find(({ key }) => key === name || key.endsWith(`.${name}`));

test('a value tells where it comes from, and one that the file or the environment decides is locked', () => made.visit('#/settings', async page => {
  await one(page, 'strategy').waitFor();
  await shows(row(page, 'low'), 'the default');
  await shows(row(page, 'max_attempts'), /locked by .*rota\.toml/);
  assert.equal(await one(page, 'max_attempts').isDisabled(), true);
  await shows(row(page, 'patience'), 'locked by ROTA_ROTATION__PATIENCE');
  assert.equal(await one(page, 'patience').isDisabled(), true);
  assert.equal(await one(page, 'patience').inputValue(), '45s');
  assert.deepEqual(await axe(page), []);
}));

test('a strategy says what it does; saved once, kept over a reload, in force, and in the log', () => made.visit('#/settings', async page => {
  await one(page, 'strategy').waitFor();
  assert.match(await one(page, 'strategy').innerText(), /least-used: the one with most quota left/);
  await one(page, 'strategy').selectOption('least-used');
  const { seen, letGo } = await held(page, '**/api/settings', 'PUT');
  await save(page).dblclick();
  letGo();
  await shows(page.locator('#saved'), 'Saved.');
  assert.equal(seen.length, 1);
  assert.equal((await made.world.api('GET', '/api/status')).body.strategy, 'least-used');
  await page.reload();
  await until('it is shown', async () => (await one(page, 'strategy').inputValue()) === 'least-used');
  await shows(row(page, 'strategy'), 'set here');
  await shows(page.locator('#audit tr', { hasText: 'strategy' }).first(), /least-used/);
}));

test('what is wrong is said beside it: critical is below low, a number is a number', () => made.visit('#/settings', async page => {
  await one(page, 'critical').waitFor();
  const { seen, letGo } = await held(page, '**/api/settings', 'PUT');
  letGo();
  await one(page, 'critical').fill('50');
  await shows(row(page, 'critical').locator('b'), 'must be below low');
  assert.equal(await one(page, 'critical').getAttribute('aria-invalid'), 'true');
  await save(page).click();
  await shows(page.getByRole('alert'), 'must be below low');
  await one(page, 'critical').fill('many');
  await shows(row(page, 'critical').locator('b'), 'must be a number');
  await save(page).click();
  assert.equal(seen.length, 0, 'nothing was sent');
  await page.getByRole('button', { name: 'Discard changes' }).click();
  await until('it is as it was', async () => (await one(page, 'critical').inputValue()) === String((await kept('critical')).value));
}));

test('what the server refuses is said beside its value, and nothing of it is kept', () => made.visit('#/settings', async page => {
  await one(page, 'low').waitFor();
  await one(page, 'low').fill('4000');
  await one(page, 'strategy').selectOption('random');
  await save(page).click();
  await page.getByRole('alert').first().waitFor();
  await shows(row(page, 'low').locator('b'), /\S/);
  assert.notEqual((await kept('strategy')).value, 'random', 'all or nothing');
}));

test('a preset shows what it changes before it does', () => made.visit('#/settings', async page => {
  const { body } = await made.world.api('GET', '/api/settings');
  const [preset] = body.presets;
  await page.getByRole('button', { name: preset.name, exact: true }).click();
  const box = page.getByRole('dialog');
  await shows(box, /→|Nothing would change/);
  await box.getByRole('button', { name: 'Cancel' }).click();
  assert.deepEqual((await made.world.api('GET', '/api/settings')).body.settings, body.settings, 'looking changes nothing');
  await page.getByRole('button', { name: preset.name, exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take it' }).click();
  await shows(page.locator('#saved'), 'is in force');
}));

test('reset asks first', () => made.visit('#/settings', async page => {
  await page.getByRole('button', { name: /Reset all/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await kept('strategy')).origin, 'settings');
  await page.getByRole('button', { name: /Reset all/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click();
  await shows(row(page, 'strategy'), 'the default');
  assert.equal((await kept('strategy')).origin, 'default');
}));

test('a weight is set beside its account', () => made.visit('#/settings', async page => {
  await page.getByLabel('Weight of home', { exact: true }).fill('0.25');
  await page.getByRole('button', { name: 'Set the weight of home' }).click();
  await until('it is kept', async () => (await made.world.api('GET', '/api/accounts')).body.accounts.find(a => a.alias === 'home').weight === 0.25);
}));

test('the antigravity panel is absent, until its flag is on, and absent again', () => made.visit('#/settings', async page => {
  const link = page.getByRole('link', { name: 'Antigravity' });
  const flag = page.getByRole('switch', { name: 'antigravity panel' });
  await flag.waitFor();
  assert.equal(await link.count(), 0);
  await page.goto(`${made.world.admin}/#/antigravity`);
  await page.getByRole('heading', { name: 'Overview' }).waitFor({ state: 'attached' });
  await page.goto(`${made.world.admin}/#/settings`);
  await flag.click();
  await link.waitFor();
  await link.click();
  await page.getByRole('heading', { name: 'Antigravity', level: 1 }).waitFor();
  await page.goto(`${made.world.admin}/#/settings`);
  await flag.click();
  await link.waitFor({ state: 'detached' });
}));

test('at 360 px nothing scrolls sideways', () => made.visit('#/settings', async page => {
  await one(page, 'strategy').waitFor();
  assert.equal(await sideways(page), 0);
  assert.deepEqual(await axe(page), []);
}, { viewport: NARROW }));
