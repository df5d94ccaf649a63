// Force: a control of its own, apart from the switches in looks and in what it does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe } from './lib/browser.mjs';
import { changed, held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai', spare: 'openai' } });
const lever = page => page.locator('#force button.force');
const state = page => lever(page).getAttribute('data-state');
const banner = page => page.locator('#force-banner');
const force = async () => (await made.world.api('GET', '/api/force')).body.force;

test('off, updating, on with alias and time left, and a double click sends one request', () => made.visit('', async page => {
  await lever(page).waitFor();
  assert.equal(await state(page), 'off');
  await page.locator('#force-alias').selectOption('home');
  const { seen, letGo } = await held(page, '**/api/force', 'POST');
  await lever(page).dblclick();
  await page.locator('.force[data-state=updating]').waitFor();
  letGo();
  await page.locator('.force[data-state=on]').waitFor();
  assert.equal(seen.length, 1);
  assert.equal((await force()).alias, 'home');
  await shows(page.locator('#force'), /home, 23 h 59 min left|home, 1 d left/);
  await shows(banner(page), /Forced to home for .* more, then back to round-robin/);
  await page.goto(`${made.world.admin}/#/settings`);
  await banner(page).waitFor();
  await page.reload();
  await banner(page).waitFor();
}));

test('it is no switch, and leaves the switches alone', () => made.visit('', async page => {
  await page.locator('.force[data-state=on]').waitFor();
  assert.equal(await lever(page).getAttribute('role'), null);
  assert.equal(await lever(page).getAttribute('aria-pressed'), 'true');
  const looks = el => el.evaluate(node => ({ radius: getComputedStyle(node).borderRadius, text: node.textContent }));
  assert.notDeepEqual(await looks(lever(page)), await looks(page.getByRole('switch').first()));
  for (const one of await page.getByRole('switch').all()) assert.equal(await one.getAttribute('data-state'), 'on');
  assert.equal(await made.world.ask(), 200);
  await shows(page.locator('#latest li').first(), 'it is forced');
  assert.deepEqual(await axe(page), []);
}));

test('a switch that is flipped while a force is on says so, and the force ends with its account', () => made.visit('', async page => {
  await page.locator('.force[data-state=on]').waitFor();
  await page.getByRole('switch', { name: 'spare in rotation' }).click();
  await page.locator('.switch[data-state=off]').waitFor();
  assert.equal(await state(page), 'on', 'another account’s switch is not the force’s business');
  await page.getByRole('switch', { name: 'home in rotation' }).click();
  await page.locator('.force[data-state=off]').waitFor();
  assert.equal(await force(), null);
  for (const name of ['spare', 'home']) await page.getByRole('switch', { name: `${name} in rotation` }).click();
  await until('all are on', async () => (await page.locator('.switch[data-state=on]').count()) === 3);
}));

test('what the command line forces is seen, and cleared from the banner', () => made.visit('', async page => {
  await lever(page).waitFor();
  await made.world.api('POST', '/api/force', { alias: 'work' });
  await shows(banner(page), 'Forced to work');
  const { seen, letGo } = await held(page, '**/api/force/clear', 'POST');
  await page.getByRole('button', { name: 'Clear force' }).dblclick();
  await page.locator('#force-banner button:disabled').waitFor();
  letGo();
  await page.locator('.force[data-state=off]').waitFor();
  await banner(page).waitFor({ state: 'detached' });
  assert.equal(seen.length, 1);
}));

test('a force that cannot be says error with the reason, and can be tried again', () => made.visit('', async page => {
  await lever(page).waitFor();
  await page.locator('#force-alias').selectOption('spare');
  await made.world.api('PUT', '/api/accounts/spare/enabled', { enabled: false });
  await lever(page).click();
  await page.locator('.force[data-state=error]').waitFor();
  await shows(page.locator('#force').getByRole('alert'), /spare/);
  await made.world.api('PUT', '/api/accounts/spare/enabled', { enabled: true });
  await lever(page).click();
  await page.locator('.force[data-state=on]').waitFor();
  await lever(page).click();
  await page.locator('.force[data-state=off]').waitFor();
}));

test('one that runs out is off without a reload', async () => {
  // The server's own answer, with a force that has three seconds to live.
  const end = Date.now() + 3000;
  const dying = status => ({ ...status, force: { alias: 'work', since: new Date(end - 86_400e3).toISOString(), until: new Date(end).toISOString(), by: 'cli' } });
  await made.visit('', async page => {
    await page.locator('.force[data-state=on]').waitFor();
    await page.unroute('**/api/status');
    await page.locator('.force[data-state=off]').waitFor();
    await banner(page).waitFor({ state: 'detached' });
  }, { before: page => changed(page, '**/api/status', dying) });
});
