// A new account: by a key, by signing in, by taking over another program's login.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { axe } from './lib/browser.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ script: { accounts: [{ id: 'newcomer' }] } });
const way = (page, name) => page.getByRole('radio', { name }).check();
const there = async alias => (await made.world.api('GET', '/api/accounts')).body.accounts.find(account => account.alias === alias);

test('an empty pool says what to do', () => made.visit('', async page => {
  await shows(page.locator('main'), 'No accounts yet');
  await page.getByRole('link', { name: 'Add the first one' }).click();
  await page.getByRole('heading', { name: 'Add account', level: 1 }).waitFor();
  assert.deepEqual(await axe(page), []);
}));

test('by a key, which no page shows again', () => made.visit('#/add', async page => {
  await way(page, 'Give an API key');
  await page.getByLabel('Name', { exact: true }).fill('Bad Name');
  await page.getByLabel('Provider', { exact: true }).selectOption('openai');
  await page.getByLabel('Key', { exact: true }).fill('sk-canary-typed');
  await page.getByRole('button', { name: 'Add' }).click();
  await shows(page.getByRole('alert'), 'alias');
  await page.getByLabel('Name', { exact: true }).fill('keyed');
  await page.getByRole('button', { name: 'Add' }).click();
  await shows(page.getByRole('status'), 'is in the pool');
  await until('the field is empty', async () => (await page.locator('[name=secret]').inputValue()) === '');
  assert.equal((await there('keyed')).credential.kind, 'api-key');
  assert.ok(!(await page.content()).includes('sk-canary-typed'));
}));

test('by signing in, with a code and progress', () => made.visit('#/add', async page => {
  await page.getByLabel('Name', { exact: true }).fill('newcomer');
  await page.getByLabel('Provider', { exact: true }).selectOption('codex');
  await page.getByLabel('How', { exact: true }).selectOption('device');
  await page.getByRole('button', { name: 'Sign in' }).click();
  const code = page.locator('.job .code');
  await code.waitFor();
  assert.equal(await there('newcomer'), undefined, 'nothing is added before it has succeeded');
  await made.world.tell('device', { user_code: await code.innerText(), account: 'newcomer' });
  await shows(page.getByRole('status'), 'is in the pool');
  assert.equal((await there('newcomer')).credential.kind, 'oauth');
}));

test('by another program’s login: a look first, then taken over', async () => {
  const folder = join(made.world.home, '.codex');
  await mkdir(folder, { recursive: true });
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
  const jwt = claims => `${part({ alg: 'none' })}.${part(claims)}.x`;
  const auth = { 'https://api.openai.com/auth': { chatgpt_account_id: 'org-found', chatgpt_plan_type: 'plus' }, exp: Math.floor(Date.now() / 1000) + 86_400 };
  await writeFile(join(folder, 'auth.json'), JSON.stringify({ tokens: { access_token: jwt(auth), refresh_token: 'r-found', id_token: jwt({ ...auth, email: 'found@home.example' }), account_id: 'org-found' } }), { mode: 0o600 });
  await made.visit('#/add', async page => {
    await way(page, 'Take over a login');
    await page.getByLabel('Program', { exact: true }).selectOption('codex');
    await page.getByLabel('Name', { exact: true }).fill('found');
    await page.getByRole('button', { name: 'Only look' }).click();
    await shows(page.getByRole('status'), 'would be added: found');
    assert.equal(await there('found'), undefined);
    await page.getByRole('button', { name: 'Take it over' }).click();
    await shows(page.getByRole('status'), 'added: found');
    await shows(page.getByRole('status'), 'found@home.example');
  });
  assert.ok(await there('found'));
});

test('a program without a login says so', () => made.visit('#/add', async page => {
  await way(page, 'Take over a login');
  await page.getByLabel('Program', { exact: true }).selectOption('opencode');
  await page.getByRole('button', { name: 'Only look' }).click();
  await shows(page.getByRole('alert'), /\S+/);
}));
