// Decisions and sessions: the list, the filter, one request's trail, who is where.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe } from './lib/browser.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { spent: 'openai', fresh: 'openai' } }, async world => {
  await world.tell('faults', { when: { account: 'spent' }, do: [{ named: 'insufficient_quota' }] });
  // Whoever is asked first: after two requests, the spent one has been.
  for (let i = 0; i < 2; i++) assert.equal(await world.ask({ model: 'gpt-5-mini' }), 200);
});

const moved = async () => (await made.world.api('GET', '/api/decisions')).body.decisions.find(decision => decision.attempts.length === 2);

test('one request’s trail tells who was asked and why, who was not, and what rota added', async () => {
  const { requestId } = await moved();
  await made.visit(`#/decisions/${requestId}`, async page => {
    await shows(page.locator('#what'), 'served by fresh');
    await shows(page.locator('#what'), /Added by rota/);
    const rows = page.locator('#tries tbody tr');
    assert.equal(await rows.count(), 2);
    await shows(rows.first(), /spent.*429.*blames: account/s);
    await shows(rows.last(), /fresh.*200.*served/s);
    assert.deepEqual(await axe(page), []);
  });
});

test('a request that nobody could serve tells of each account why not', async () => {
  await made.world.command('disable', 'fresh', '--force').catch(() => made.world.api('PUT', '/api/accounts/fresh/enabled', { enabled: false, force: true }));
  assert.notEqual(await made.world.ask(), 200);
  const { body } = await made.world.api('GET', '/api/decisions?limit=1');
  await made.visit(`#/decisions/${body.decisions[0].requestId}`, async page => {
    await shows(page.locator('#what'), 'refused');
    await shows(page.locator('#skipped tr', { hasText: 'fresh' }), 'disabled');
    await shows(page.locator('#skipped tr', { hasText: 'spent' }), /cooling|quota|payment/);
  });
  await made.world.api('PUT', '/api/accounts/fresh/enabled', { enabled: true });
});

test('the list is filtered by what one types and by how it ended', () => made.visit('#/decisions', async page => {
  const lines = page.locator('#decisions > li');
  await lines.first().waitFor();
  const all = await lines.count();
  await page.getByLabel('Find', { exact: true }).fill('gpt-5-mini');
  await until('fewer are shown', async () => (await lines.count()) === 2);
  assert.ok(all > 2, `${all}`);
  await page.getByLabel('Find', { exact: true }).fill('no such thing');
  await shows(page.locator('main'), 'None of those known here fits');
  await page.getByLabel('Find', { exact: true }).fill('');
  await page.getByLabel('Ended', { exact: true }).selectOption('refused');
  await until('only refusals are shown', async () => (await lines.count()) >= 1 && (await lines.count()) < all);
  await lines.first().getByRole('link').click();
  await shows(page.locator('#what'), 'refused');
}));

test('a decision that is not kept any more says so', () => made.visit('#/decisions/ffffffff', async page => {
  await shows(page.getByRole('alert'), 'no decision');
}));

test('a session is shown on its account, and taken off it', () => made.visit('#/sessions', async page => {
  assert.equal(await made.world.ask({ session: 'a-conversation' }), 200);
  const row = page.getByRole('row', { name: 'a-conversation' });
  await shows(row, 'fresh');
  assert.deepEqual(await axe(page), []);
  await row.getByRole('button', { name: 'Clear a-conversation' }).click();
  await row.waitFor({ state: 'detached' });
  // What is tied by what it holds is told beside, and stays.
  await shows(page.locator('#ties tr', { hasText: 'fresh' }), /[1-9]\d* texts and ids.*in 6 d.*none/s);
  const { body } = await made.world.api('GET', '/api/sessions');
  assert.equal(body.sessions.filter(session => session.id === 'a-conversation').length, 0);
}));
