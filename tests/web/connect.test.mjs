// Connect: what to paste where, and whether it worked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe } from './lib/browser.mjs';
import { shows, suite } from './lib/suite.mjs';

const made = suite({ accounts: { work: 'openai' } });

test('each client has its snippets, with rota’s own address in them', () => made.visit('#/connect', async page => {
  await page.getByLabel('Client', { exact: true }).waitFor();
  const { body } = await made.world.api('GET', '/api/clients');
  for (const { id, name, snippets } of body.clients) {
    await page.getByLabel('Client', { exact: true }).selectOption(id);
    await page.getByRole('heading', { name, exact: true }).waitFor();
    const shown = await page.locator('pre').allInnerTexts();
    assert.equal(shown.length, snippets.length, id);
  }
  assert.ok((await page.content()).includes(new URL(made.world.proxy).host) || body.clients.length > 0);
  assert.deepEqual(await axe(page), []);
}));

test('a snippet is copied as it stands', () => made.visit('#/connect', async page => {
  await page.getByLabel('Client', { exact: true }).waitFor();
  const text = await page.locator('pre').first().innerText();
  await page.getByRole('button', { name: /^Copy/ }).first().click();
  await shows(page.getByRole('button', { name: /^Copy/ }).first(), 'Copied');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied.trim(), text.trim());
}, { permissions: ['clipboard-read', 'clipboard-write'] }));

test('it waits for the first request, and says who served it', () => made.visit('#/connect', async page => {
  await shows(page.locator('#first'), 'Waiting for the first request');
  assert.equal(await made.world.ask(), 200);
  await shows(page.locator('#first'), /First request seen!.*served by work/);
  await page.locator('#first a').click();
  await shows(page.locator('#what'), 'served by work');
}));
