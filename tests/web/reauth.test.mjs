// Signing in again: idle, in progress, success, error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { held } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';

const made = suite({ accounts: { keyed: 'openai' }, script: { accounts: [{ id: 'pro' }, { id: 'somebody-else' }] } }, world => world.signIn('pro', 'codex', 'pro'));
const job = page => page.locator('.job');
const state = page => job(page).getAttribute('data-state');
const begin = page => page.getByRole('button', { name: 'Sign in again' });

async function device(page) {
  await begin(page).waitFor();
  await page.getByLabel('How', { exact: true }).selectOption('device');
  await begin(page).click();
  await page.locator('.job .code').waitFor();
}

test('an account with a key has nothing to sign in to', () => made.visit('#/accounts/keyed', async page => {
  await shows(page.locator('#login'), 'nothing to sign in to');
  assert.equal(await begin(page).count(), 0);
}));

test('by a code: idle, a double click that sends one request, code and countdown, called off', () => made.visit('#/accounts/pro', async page => {
  await begin(page).waitFor();
  assert.equal(await state(page), 'success', 'of the sign-in that brought it');
  await page.getByLabel('How', { exact: true }).selectOption('device');
  const { seen, letGo } = await held(page, '**/reauth', 'POST');
  await begin(page).dblclick();
  letGo();
  await page.locator('.job .code').waitFor();
  assert.equal(seen.length, 1);
  assert.equal(await state(page), 'in-progress');
  assert.match(await page.locator('.job time').innerText(), /^\d+:\d\d$/);
  assert.equal(await begin(page).count(), 0, 'there is no second one meanwhile');
  assert.match(await page.locator('.job a').getAttribute('href'), /^http/);
  await page.reload();
  await page.locator('.job .code').waitFor();
  await page.getByRole('button', { name: 'Stop signing in' }).click();
  await page.locator('.job[data-state=idle]').waitFor({ state: 'attached' });
}));

test('by a code that somebody approves: success, seen without a reload', () => made.visit('#/accounts/pro', async page => {
  await device(page);
  const code = await page.locator('.job .code').innerText();
  await made.world.tell('device', { user_code: code, account: 'pro' });
  await page.locator('.job[data-state=success]').waitFor();
}));

test('by a code that somebody refuses: error with the reason, and it can be tried again', () => made.visit('#/accounts/pro', async page => {
  await device(page);
  await made.world.tell('device', { user_code: await page.locator('.job .code').innerText(), account: null });
  await page.locator('.job[data-state=error]').waitFor();
  await begin(page).waitFor();
}));

test('by a code that somebody else approves: error, and the account keeps what it had', () => made.visit('#/accounts/pro', async page => {
  const login = async () => (await made.world.api('GET', '/api/accounts')).body.accounts.find(account => account.alias === 'pro').credential.version;
  const before = await login();
  await device(page);
  await made.world.tell('device', { user_code: await page.locator('.job .code').innerText(), account: 'somebody-else' });
  await page.locator('.job[data-state=error]').waitFor();
  assert.equal(await login(), before);
}));

test('by a page: a link, and what the browser ended at can be pasted', () => made.visit('#/accounts/pro', async page => {
  await begin(page).waitFor();
  await page.getByLabel('How', { exact: true }).selectOption('paste');
  await begin(page).click();
  const link = page.getByRole('link', { name: 'Open the sign-in page' });
  assert.match(await link.getAttribute('href'), /^http.*state=/);
  assert.equal(await link.getAttribute('rel'), 'noreferrer');
  await page.getByRole('textbox', { name: /browser/ }).fill('http://localhost:1455/auth/callback?code=x&state=wrong');
  await page.getByRole('button', { name: 'Finish' }).click();
  await shows(page.getByRole('alert'), 'state');
  await page.getByRole('button', { name: 'Stop signing in' }).click();
  await page.locator('.job[data-state=idle]').waitFor({ state: 'attached' });
}));
