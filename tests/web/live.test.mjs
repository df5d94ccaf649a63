// Keeping up: rota goes away and comes back, a fetch fails, events are missing; the page says so, and finds back by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai' } });
const lever = (page, alias) => page.getByRole('switch', { name: `${alias} in rotation` });
const state = (page, alias) => lever(page, alias).getAttribute('data-state');
const live = page => shows(page.locator('#live'), /^live$/);
const lost = page => shows(page.locator('#link'), 'Reconnecting');

test('rota stops and starts again: the page says so, and shows what changed meanwhile', () => made.visit('', async page => {
  await live(page);
  await made.world.stopRota();
  await lost(page);
  await made.world.serve();
  await made.world.api('PUT', '/api/accounts/home/enabled', { enabled: false });
  await page.locator('#link .alarm').waitFor({ state: 'detached' });
  await live(page);
  await until('home is off', async () => (await state(page, 'home')) === 'off');
  assert.equal(await made.world.ask(), 200);
  await shows(page.locator('#latest li').first(), 'served by work');
  await made.world.api('PUT', '/api/accounts/home/enabled', { enabled: true });
  await until('home is on', async () => (await state(page, 'home')) === 'on');
}));

test('one fetch that fails does not leave the page lost while events come in', () => made.visit('', async page => {
  await live(page);
  await page.route('**/api/status', route => route.abort());
  await made.world.api('PUT', '/api/accounts/work/enabled', { enabled: false });
  await lost(page);
  await page.unroute('**/api/status');
  await page.locator('#link .alarm').waitFor({ state: 'detached' });
  await until('work is off', async () => (await state(page, 'work')) === 'off');
  await made.world.api('PUT', '/api/accounts/work/enabled', { enabled: true });
  await until('work is on', async () => (await state(page, 'work')) === 'on');
}));

test('without events the page asks, and does not ask in a rush when that fails', () => made.visit('', async page => {
  await shows(page.locator('#live'), 'asking every 2 s');
  await made.world.api('PUT', '/api/accounts/work/enabled', { enabled: false });
  await until('work is off', async () => (await state(page, 'work')) === 'off');
  await made.world.api('PUT', '/api/accounts/work/enabled', { enabled: true });
  await page.route('**/api/status', route => route.abort());
  await lost(page);
  await page.evaluate(() => (window.asked = []));
  await until('it was asked four times', () => page.evaluate(() => window.asked.length >= 4));
  const asked = await page.evaluate(() => window.asked);
  const gaps = asked.slice(1).map((at, i) => at - asked[i]);
  assert.ok(gaps.every(gap => gap > 900), `${gaps}`);
  await page.unroute('**/api/status');
  await shows(page.locator('#live'), 'asking every 2 s');
}, { before: async page => {
  await page.route('**/api/events', route => route.fulfill({ status: 429, json: { error: { code: 'TOO_MANY_READERS', message: 'all places are taken' } } }));
  await page.addInitScript(() => {
    const { fetch } = window;
    window.asked = [];
    window.fetch = (path, how) => {
      if (path === '/api/status') window.asked.push(performance.now());
      return fetch(path, how);
    };
  });
} }));

test('a second ticket begins anew, and one keeps up, not two', () => made.visit('', async page => {
  await live(page);
  const ended = page.waitForEvent('requestfailed', request => request.url().endsWith('/api/events'));
  const begun = page.waitForRequest('**/api/events');
  const { body } = await made.world.api('POST', '/api/handover');
  await page.evaluate(ticket => (location.hash = `ticket=${ticket}`), body.ticket);
  await Promise.all([ended, begun]);
  await live(page);
}));

test('what is left behind by a view that was left is nothing', () => made.visit('', async page => {
  await live(page);
  for (let i = 0; i < 10; i++) {
    const { seen, letGo } = await held(page, `**/api/decisions/nothing-${i}`, 'GET');
    await page.evaluate(id => (location.hash = `#/decisions/nothing-${id}`), i);
    await until('its trail is asked for', () => seen.length === 1);
    const answered = page.waitForResponse(`**/api/decisions/nothing-${i}`);
    await page.evaluate(() => (location.hash = '#/connect'));
    await page.getByRole('heading', { name: 'Connect' }).waitFor();
    letGo();
    await answered;
  }
  const client = await page.context().newCDPSession(page);
  const detached = async () => {
    // Without it the browser may look at a heap that it has collected in part only.
    await client.send('HeapProfiler.collectGarbage');
    const { result: { objectId: prototypeObjectId } } = await client.send('Runtime.evaluate', { expression: 'HTMLDivElement.prototype' });
    const { objects: { objectId } } = await client.send('Runtime.queryObjects', { prototypeObjectId });
    const { result } = await client.send('Runtime.callFunctionOn', { objectId, returnByValue: true, functionDeclaration: 'function () { return this.filter(el => el.className === "view" && !el.isConnected).length; }' });
    await client.send('Runtime.releaseObject', { objectId });
    return result.value;
  };
  // A drawing clears what is not on the page any more; the browser itself holds on to the last few.
  await until('they are gone', async () => {
    await page.getByRole('button', { name: 'Hide e-mails' }).click();
    await page.getByRole('button', { name: 'Hide e-mails' }).click();
    return (await detached()) < 5;
  }, 20_000);
}));

for (const hash of ['#/%zz', '#/constructor', '#/__proto__/x', '#/accounts/%e0%a4%a']) {
  test(`an address that means nothing leaves the page whole: ${hash}`, () => made.visit(hash, async page => {
    await page.getByRole('heading', { level: 1 }).waitFor({ state: 'attached' });
    await live(page);
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
    await page.evaluate(where => (location.hash = where), hash);
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Overview' }).click();
    await lever(page, 'work').waitFor();
  }));
}
