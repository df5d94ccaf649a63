// The first screen: who serves, how much is left, why; and the switch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe, NARROW, sideways } from './lib/browser.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai', alone: 'anthropic' } });
const lever = (page, alias) => page.getByRole('switch', { name: `${alias} in rotation` });
const states = async (page, alias) => lever(page, alias).getAttribute('data-state');

/** Holds the requests that fit until they are let go; tells how many there were. */
async function held(page, pattern, method = 'PUT') {
  let letGo;
  const gate = new Promise(done => (letGo = done));
  const seen = [];
  await page.route(pattern, async route => {
    if (route.request().method() !== method) return route.continue();
    seen.push(route.request().url());
    await gate;
    return route.continue();
  });
  return { seen, letGo };
}

test('accounts are shown with state, limits that nobody knows, and token', () => made.visit('', async page => {
  for (const alias of ['work', 'home', 'alone']) await page.getByRole('row', { name: alias }).waitFor();
  const row = page.getByRole('row', { name: 'work' });
  await shows(row, 'in rotation');
  await shows(row, 'unknown');
  assert.doesNotMatch(await row.locator('[data-confidence]').innerText(), /\d/, 'unknown is a word');
}));

test('a switch goes from on over updating to off, and a double click sends one PUT', () => made.visit('', async page => {
  await lever(page, 'work').waitFor();
  assert.equal(await states(page, 'work'), 'on');
  const { seen, letGo } = await held(page, '**/api/accounts/work/enabled');
  await lever(page, 'work').dblclick();
  await page.locator('.switch[data-state=updating]').waitFor();
  assert.equal(await lever(page, 'work').getAttribute('aria-disabled'), 'true');
  assert.equal(await states(page, 'home'), 'on', 'the other switches are not held');
  await lever(page, 'work').click({ force: true });
  letGo();
  await page.locator('.switch[data-state=off]').waitFor();
  assert.equal(seen.length, 1);
  const { body } = await made.world.api('GET', '/api/accounts');
  assert.equal(body.accounts.find(account => account.alias === 'work').enabled, false);
  await page.reload();
  await page.locator('.switch[data-state=off]').waitFor();
  assert.equal(await states(page, 'work'), 'off', 'it is kept over a reload');
  await lever(page, 'work').click();
  await until('work is on', async () => (await states(page, 'work')) === 'on');
}));

test('what the command line does is seen without a reload', () => made.visit('', async page => {
  await lever(page, 'home').waitFor();
  await made.world.command('disable', 'home');
  await until('home is off', async () => (await states(page, 'home')) === 'off');
  await made.world.command('enable', 'home');
  await until('home is on', async () => (await states(page, 'home')) === 'on');
}));

test('a switch that failed says error and what to do, and works again', () => made.visit('', async page => {
  await lever(page, 'work').waitFor();
  await page.route('**/api/accounts/work/enabled', route => route.abort());
  await lever(page, 'work').click();
  await page.locator('.switch[data-state=error]').waitFor();
  await shows(page.getByRole('alert'), 'does not answer');
  await page.unroute('**/api/accounts/work/enabled');
  await lever(page, 'work').click();
  await until('work is off', async () => (await states(page, 'work')) === 'off');
  await lever(page, 'work').click();
  await until('work is on', async () => (await states(page, 'work')) === 'on');
}));

test('the last account of a provider is asked about before it is switched off', () => made.visit('', async page => {
  await lever(page, 'alone').click();
  await shows(page.getByRole('dialog'), 'last enabled account');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await until('it stays on', async () => (await states(page, 'alone')) === 'on');
  await lever(page, 'alone').click();
  await page.getByRole('button', { name: 'Switch it off' }).click();
  await until('it is off', async () => (await states(page, 'alone')) === 'off');
  await lever(page, 'alone').click();
  await until('it is on', async () => (await states(page, 'alone')) === 'on');
}));

test('a switch works by keyboard and keeps the focus', () => made.visit('', async page => {
  await lever(page, 'work').focus();
  await page.keyboard.press('Space');
  await until('it is off', async () => (await states(page, 'work')) === 'off');
  assert.equal(await lever(page, 'work').evaluate(el => el === document.activeElement), true);
  await page.keyboard.press('Enter');
  await until('it is on', async () => (await states(page, 'work')) === 'on');
}));

test('a question is answered by keyboard, and the focus goes back to where it was', () => made.visit('', async page => {
  const focused = () => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
  await lever(page, 'alone').focus();
  for (const answer of ['Escape', 'Enter']) {
    await page.keyboard.press('Space');
    await page.getByRole('dialog').waitFor();
    assert.equal(await focused(), 'Cancel', 'what changes nothing is chosen');
    await page.keyboard.press(answer);
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await focused(), 'alone in rotation', answer);
    await until('it stays on', async () => (await states(page, 'alone')) === 'on');
  }
}));

test('the switch is the only way to disable', () => made.visit('', async page => {
  await lever(page, 'work').waitFor();
  for (const view of ['#/', '#/accounts/work', '#/settings']) {
    await page.goto(`${made.world.admin}/${view}`);
    await page.getByRole('heading').first().waitFor();
    assert.equal(await page.getByRole('button', { name: /^(disable|enable|pause|suspend)/i }).count(), 0, view);
    assert.equal(await page.getByRole('checkbox', { name: /disable/i }).count(), 0, view);
  }
}));

test('a decision comes in live, with why', () => made.visit('', async page => {
  await lever(page, 'work').waitFor();
  assert.equal(await made.world.ask(), 200);
  await shows(page.locator('#latest li'), 'its turn');
}));

for (const [name, how] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['narrow', { viewport: NARROW }]]) {
  test(`axe finds nothing, and the page does not scroll sideways: ${name}`, () => made.visit('', async page => {
    await lever(page, 'work').waitFor();
    assert.deepEqual(await axe(page), []);
    assert.equal(await sideways(page), 0);
    const { x, width } = await lever(page, 'work').boundingBox();
    assert.ok(x >= 0 && x + width <= page.viewportSize().width, 'the switches are in sight');
  }, how));
}
