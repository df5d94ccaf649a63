// What is around the views: who may see them, what they cost, what is hidden, what happens when rota goes away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe, NARROW, sideways } from './lib/browser.mjs';
import { changed } from './lib/held.mjs';
import { shows, suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', pro: 'codex' } });
const VIEWS = ['', '#/decisions', '#/sessions', '#/connect', '#/settings', '#/add', '#/accounts/work'];
const MOST_BYTES = 60 * 1024;

/** The view is there, and what it shows is up to date. */
async function settled(page) {
  await page.getByRole('heading', { level: 1 }).waitFor();
  await shows(page.locator('#live'), /live|asking/);
}

test('the first screen with all it asks costs at most 60 KB, and so do the files of all views', async () => {
  for (let i = 0; i < 20; i++) assert.equal(await made.world.ask(), 200);
  const files = new Map();
  const urls = new Map();
  // By address, what came first: figures that are asked for again and again cost what time makes them cost.
  const first = new Map();
  let bytes = 0;
  const count = async page => {
    const client = await page.context().newCDPSession(page);
    await client.send('Network.enable');
    client.on('Network.responseReceived', ({ requestId, response }) => {
      urls.set(requestId, response.url);
      if (/^\/(ui\/.*)?$/.test(new URL(response.url).pathname)) files.set(requestId, response.url);
    });
    client.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      const url = urls.get(requestId);
      if (!first.has(url)) first.set(url, encodedDataLength);
      if (files.has(requestId)) bytes += encodedDataLength;
    });
  };
  await made.visit('', async page => {
    await settled(page);
    await page.locator('#latest a').first().waitFor();
    await shows(page.locator('#history'), 'Not enough has been seen');
    const all = [...first.values()].reduce((sum, n) => sum + n, 0);
    assert.ok(all > bytes && all <= MOST_BYTES, `${all} bytes, ${bytes} of them files`);
    for (const view of VIEWS) {
      await page.evaluate(hash => (location.hash = hash), view);
      await settled(page);
    }
    const came = [...files.values()];
    assert.ok(came.length > 10, `${came}`);
    // The icon is asked for at each step, out of the browser's own keeping or not as it likes.
    const once = came.filter(url => !url.endsWith('/icon.svg'));
    assert.equal(new Set(once).size, once.length, 'each file comes once, whatever is looked at');
    assert.ok(bytes > 0 && bytes <= MOST_BYTES, `${bytes} bytes`);
    console.log(JSON.stringify({ files: bytes, firstScreen: all, most: MOST_BYTES }));
  }, { before: count });
});

test('the policy allows nothing but this origin, and no string becomes a script', async () => {
  const reply = await fetch(`${made.world.admin}/`);
  const policy = reply.headers.get('content-security-policy');
  for (const directive of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]) {
    assert.ok(policy.includes(directive), directive);
  }
  assert.doesNotMatch(policy, /unsafe|\*|data:/);
  assert.equal(reply.headers.get('x-content-type-options'), 'nosniff');
});

test('without a token there is a form and nothing else; the token is in the tab only', () => made.visit('', async page => {
  await page.getByRole('heading', { name: 'This page needs the admin token' }).waitFor();
  assert.equal(await page.getByRole('navigation').count(), 0);
  await page.getByRole('textbox', { name: 'Admin token' }).fill('wrong');
  await page.keyboard.press('Enter');
  await shows(page.getByRole('alert'), 'does not know this token');
  await page.getByRole('textbox', { name: 'Admin token' }).fill(made.world.token);
  await page.keyboard.press('Enter');
  await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  const kept = await page.evaluate(() => ({ local: JSON.stringify(localStorage), cookie: document.cookie, url: location.href, tab: sessionStorage.getItem('rota.token') }));
  assert.equal(kept.tab, made.world.token);
  for (const place of ['local', 'cookie', 'url']) assert.ok(!kept[place].includes(made.world.token), place);
}, { token: null }));

test('a late refusal does not take the token that was given since', () => made.visit('', async page => {
  // What the page still asks for when its wrong token was refused.
  const late = new Promise(found => {
    page.route('**/api/status', route => (route.request().headers().authorization ? route.continue() : found(route)));
  });
  const token = page.getByRole('textbox', { name: 'Admin token' });
  await token.fill('wrong');
  await page.keyboard.press('Enter');
  await shows(page.getByRole('alert'), 'does not know this token');
  const held = await late;
  await token.fill(made.world.token);
  await page.keyboard.press('Enter');
  await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  const refused = page.waitForResponse(reply => reply.status() === 401);
  await held.continue();
  await (await refused).finished();
  await page.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.equal(await page.evaluate(() => sessionStorage.getItem('rota.token')), made.world.token);
  assert.equal(await token.count(), 0, 'the form stays away');
}, { token: null }));

test('a ticket opens the page once, and is gone from the address and the history at once', async () => {
  const { body } = await made.world.api('POST', '/api/handover');
  await made.visit(`#ticket=${body.ticket}`, async page => {
    await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
    assert.equal(new URL(page.url()).hash, '');
    assert.equal(await page.evaluate(() => sessionStorage.getItem('rota.token')), made.world.token);
    await page.reload();
    await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  }, { token: null });
  await made.visit(`#ticket=${body.ticket}`, async page => {
    await shows(page.getByRole('alert'), /ticket/);
    await page.getByRole('heading', { name: 'This page needs the admin token' }).waitFor();
    assert.equal(new URL(page.url()).hash, '');
    assert.equal(await page.evaluate(() => sessionStorage.getItem('rota.token')), null);
  }, { token: null });
});

test('no address that the page asks for holds the token', () => made.visit('', async page => {
  const urls = [];
  page.on('request', request => urls.push(request.url()));
  for (const view of VIEWS) {
    await page.goto(`${made.world.admin}/${view}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  assert.ok(urls.length && urls.every(url => !url.includes(made.world.token)));
}));

test('the privacy button hides e-mail addresses everywhere, in tips and titles as well', async () => {
  await made.world.add('ana', 'openai');
  const address = 'ana@studio.example';
  const known = status => ({ ...status, accounts: status.accounts.map(account => ({ ...account, notes: `of ${address}`, disableReason: null, credential: { ...account.credential, email: address },
    limits: { ...account.limits, limitsConfidence: 'unknown', limitError: `no answer for ${address}` } })) });
  await made.visit('', async page => {
    await shows(page.getByRole('row', { name: 'work' }), address);
    await page.getByRole('button', { name: 'Hide e-mails' }).click();
    await until('it is hidden', async () => !(await page.content()).includes(address));
    for (const view of VIEWS) {
      await page.goto(`${made.world.admin}/${view}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      const left = await page.evaluate(text => [...document.querySelectorAll('*')].flatMap(el => [...el.attributes].filter(a => a.value.includes(text)).map(a => `${el.tagName} ${a.name}`)).concat(document.body.innerText.includes(text) ? ['text'] : [], document.title.includes(text) ? ['title'] : []), address);
      assert.deepEqual(left, [], view || 'overview');
    }
    assert.equal(await page.getByRole('button', { name: 'Hide e-mails' }).getAttribute('aria-pressed'), 'true', 'it is kept');
    await page.goto(`${made.world.admin}/#/`);
    await page.getByRole('button', { name: 'Hide e-mails' }).click();
    await shows(page.getByRole('row', { name: 'work' }), address);
  }, { before: page => changed(page, '**/api/status', known) });
});

test('what is typed and what is written over several lines is covered, too, while it holds an address', () => made.visit('#/accounts/work', async page => {
  const notes = page.getByLabel('Notes', { exact: true });
  await until('they are there', async () => (await notes.inputValue()) === 'ask ana@studio.example');
  const covered = field => field.evaluate(el => getComputedStyle(el).webkitTextSecurity);
  assert.equal(await covered(notes), 'none');
  await page.getByRole('button', { name: 'Hide e-mails' }).click();
  await until('the notes are covered', async () => (await covered(notes)) === 'disc');
  await until('the tags are covered', async () => (await covered(page.getByLabel('Tags', { exact: true }))) === 'disc');
  assert.equal(await covered(page.getByLabel('Name', { exact: true })), 'none', 'what holds none is not');
  await page.getByRole('button', { name: 'Hide e-mails' }).click();
  await until('they can be read', async () => (await covered(notes)) === 'none');
}, { before: page => changed(page, '**/api/status', status => ({ ...status, accounts: status.accounts.map(account => ({ ...account, notes: 'ask ana@studio.example', tags: ['of-ana@studio.example'] })) })) }));

test('colours are those of the system, or as they were chosen, and that is kept', () => made.visit('', async page => {
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByLabel('Colours').waitFor();
  const light = await back();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await back();
  assert.notEqual(dark, light);
  await page.getByLabel('Colours').selectOption('light');
  await until('it is light', async () => (await back()) === light);
  await page.reload();
  await page.getByLabel('Colours').waitFor();
  assert.equal(await back(), light);
}));

test('everything is reached by keyboard', () => made.visit('', async page => {
  await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  const seen = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    seen.add(await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()));
  }
  for (const name of ['Skip to content', 'Decisions', 'Settings', 'Hide e-mails', 'Probe all now', 'Add account', 'work in rotation', 'pro in rotation', 'Details: work', 'Sign in again: pro']) {
    assert.ok([...seen].some(text => text.includes(name)), `${name} is among ${[...seen].join(' | ')}`);
  }
  await page.keyboard.press('Home');
  await page.goto(`${made.world.admin}/#/decisions`);
  await page.getByRole('heading', { name: 'Decisions' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'a new view has the focus');
}));

for (const view of VIEWS) {
  test(`axe finds nothing, light, dark and narrow, and at 360 px nothing scrolls sideways: ${view || 'overview'}`, () => made.visit(view, async page => {
    await settled(page);
    assert.deepEqual(await axe(page), [], 'light');
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.deepEqual(await axe(page), [], 'dark');
    await page.setViewportSize(NARROW);
    assert.deepEqual(await axe(page), [], 'narrow');
    assert.equal(await sideways(page), 0);
    const hidden = await page.evaluate(() => [...document.querySelectorAll('.scroll:not(details .scroll)')].filter(el => el.scrollWidth > el.clientWidth).map(el => el.ariaLabel));
    assert.deepEqual(hidden, [], 'tables are whole, too');
  }));
}

test('what a part of the page cannot get is said in its place, and the rest goes on', () => made.visit('', async page => {
  await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  await shows(page.locator('#requests-card'), 'Not available');
  assert.equal(await page.locator('.kpis').innerText().then(text => /\b0\b/.test(text)), false, 'unknown is not 0');
}, { before: page => page.route('**/api/stats*', route => route.fulfill({ status: 404, json: { error: { code: 'NOT_FOUND', message: 'there is no endpoint' } } })) }));

test('rota goes away: reconnecting, with the time of what is shown; it comes back: live again', () => made.visit('', async page => {
  await page.getByRole('switch', { name: 'work in rotation' }).waitFor();
  await made.world.stopRota();
  await shows(page.locator('#link'), 'Reconnecting');
  await shows(page.locator('#link'), /from \d\d:\d\d:\d\d/);
  await page.getByRole('switch', { name: 'work in rotation' }).click();
  await shows(page.getByRole('alert'), 'does not answer');
  await made.world.serve();
  await page.locator('#link .alarm').waitFor({ state: 'detached' });
  await until('the footer says so', async () => /live|asking/.test(await page.locator('#live').innerText()));
  await page.getByRole('switch', { name: 'work in rotation' }).click();
  await page.locator('.switch[data-state=off]').first().waitFor();
}));
