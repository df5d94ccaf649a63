// A web page on another loopback origin, in the same Chromium as the dashboard's user: twelve ways to spend somebody's quota or
// to read or change what rota holds. None may reach the upstream, none may read an answer, none may change anything.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launchWith } from './lib/browser.mjs';
import { suite } from './lib/suite.mjs';
import { until } from './lib/world.mjs';

const made = suite({ accounts: { work: 'openai', home: 'openai' } });
const MARK = 'stolen-by-a-page';
let evil;
let site;
// A server without a gate, which shows that what is tried does come to whoever lets it.
let open;
let came = 0;

before(async () => {
  evil = createServer((request, reply) => {
    // A service worker of the page's own origin may look at everything that the page sends, and answer in rota's stead to itself only.
    const worker = request.url === '/worker.js';
    reply.setHeader('content-type', worker ? 'text/javascript' : 'text/html');
    reply.end(worker ? "self.addEventListener('fetch', () => {})" : '<!doctype html><title>evil</title><body>');
  });
  await new Promise(done => evil.listen(0, '127.0.0.1', done));
  site = `http://127.0.0.1:${evil.address().port}`;
  open = createServer((request, reply) => {
    came++;
    request.resume();
    reply.setHeader('content-type', 'text/html');
    reply.end('<!doctype html><title>open</title>');
  });
  await new Promise(done => open.listen(0, '127.0.0.1', done));
});
after(() => {
  evil?.close();
  open?.close();
});

/** What the page tries, in itself; `outcome` is what it learned: text of an answer, or that it was kept out. */
const VECTORS = {
  'fetch, simple': async ({ url, body }) => (await fetch(url, { method: 'POST', body, headers: { 'content-type': 'text/plain' } })).text(),
  'fetch, preflighted, with a guessed token': async ({ url, body }) => (await fetch(url, { method: 'PUT', body, headers: { 'content-type': 'application/json', authorization: 'Bearer x' } })).text(),
  'fetch, no-cors': async ({ url, body }) => {
    const reply = await fetch(url, { method: 'POST', mode: 'no-cors', body, credentials: 'include' });
    return `${reply.type} ${reply.status} ${await reply.text()}`;
  },
  'form post': ({ url, body }) => new Promise(done => {
    const frame = Object.assign(document.createElement('iframe'), { name: `frame ${frames.length}` });
    const form = Object.assign(document.createElement('form'), { method: 'post', action: url, enctype: 'text/plain', target: frame.name });
    form.append(Object.assign(document.createElement('input'), { name: body, value: '' }));
    document.body.append(frame, form);
    // After the empty page that every frame begins with.
    frame.onload = () => {
      try {
        done(frame.contentDocument?.body?.textContent ?? 'nothing to read');
      } catch (error) {
        done(error.name);
      }
    };
    form.submit();
  }),
  'img, script, style': ({ url }) => Promise.all(['img', 'script', 'link'].map(tag => new Promise(done => {
    const el = document.createElement(tag);
    el.onload = () => done(`${tag} loaded`);
    el.onerror = () => done(`${tag} kept out`);
    if (tag === 'link') Object.assign(el, { rel: 'stylesheet', href: url });
    else el.src = url;
    document.body.append(el);
  }))).then(all => all.join(', ')),
  iframe: ({ url }) => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.onload = () => {
      try {
        done(frame.contentDocument?.body?.textContent ?? 'nothing to read');
      } catch (error) {
        done(error.name);
      }
    };
    frame.src = url;
    document.body.append(frame);
  }),
  EventSource: ({ url }) => new Promise(done => {
    const source = new EventSource(url, { withCredentials: true });
    source.onopen = () => done('opened');
    source.onmessage = event => done(event.data);
    source.onerror = () => {
      source.close();
      done('kept out');
    };
  }),
  WebSocket: ({ url }) => new Promise(done => {
    const socket = new WebSocket(url.replace('http', 'ws'));
    socket.onopen = () => done('opened');
    socket.onerror = () => done('kept out');
  }),
  sendBeacon: ({ url, body }) => {
    navigator.sendBeacon(url, new Blob([body], { type: 'text/plain' }));
    return fetch(url, { method: 'POST', mode: 'no-cors', keepalive: true, body }).then(reply => `${reply.type}`);
  },
  'a window that is opened and spoken to': ({ url }) => new Promise(done => {
    const opened = open(url);
    addEventListener('message', event => done(`message ${event.data}`));
    // Until it is another site's, its document can be looked at.
    const look = setInterval(() => {
      try {
        opened.postMessage({ type: 'token?' }, '*');
        if (opened.document.URL === 'about:blank') return;
        done(opened.document.body.textContent);
      } catch (error) {
        done(error.name);
      }
      clearInterval(look);
      opened.close();
    }, 20);
  }),
  'a service worker in between': async ({ url, body }) => {
    await navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready);
    const elsewhere = await navigator.serviceWorker.register(`${new URL(url).origin}/ui/main.js`).then(() => 'registered', error => error.name);
    return `${elsewhere} ${await (await fetch(url, { method: 'POST', body })).text()}`;
  },
};

/** Where a page would aim, with what it would send there. */
const targets = ({ proxy, admin }) => [
  { url: `${proxy}/openai/v1/responses`, body: JSON.stringify({ model: 'gpt-5', input: MARK }) },
  { url: `${admin}/api/accounts/work/enabled`, body: JSON.stringify({ enabled: false }) },
];

/** Nothing that only rota's own pages and clients may read. */
function keptOut(outcome, name) {
  assert.doesNotMatch(String(outcome), /"accounts"|hello from here|"alias"|admin|loaded(?!.*kept)|opened|registered/, `${name}: ${outcome}`);
}

async function untouched(world, before, name) {
  const { requests } = await world.tell('requests');
  assert.equal(requests.length, before, `${name}: something was sent upstream`);
  const { saw } = await world.tell('saw', { text: MARK });
  assert.equal(saw, false, name);
  const { body } = await world.api('GET', '/api/accounts');
  assert.ok(body.accounts.every(account => account.enabled), `${name}: an account was switched off`);
}

async function attack(name, where, work) {
  const { world, browser } = made;
  const before = (await world.tell('requests')).requests.length;
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.goto(`${where}/`);
    came = 0;
    await page.evaluate(work, { url: `http://127.0.0.1:${open.address().port}/x`, body: MARK }).catch(() => {});
    await until(`${name} comes to a server without a gate`, () => came > 0);
    for (const target of targets(world)) {
      const outcome = await page.evaluate(work, target).catch(error => error.message);
      keptOut(outcome, `${name} at ${target.url}`);
    }
  } finally {
    await context.close();
  }
  await untouched(world, before, name);
}

/** L4, L5, L7, PRX-3 */
for (const [name, work] of Object.entries(VECTORS)) {
  test(`kept out: ${name}`, () => attack(name, site, work));
}

/** L3: the name of the page is made to mean this machine, so that the browser thinks rota's port is the page's own site. */
test('kept out: DNS rebinding', async () => {
  const { world } = made;
  const browser = await launchWith(['--host-resolver-rules=MAP rebound.test 127.0.0.1']);
  const before = (await world.tell('requests')).requests.length;
  try {
    for (const { url, body } of targets(world)) {
      const own = url.replace('127.0.0.1', 'rebound.test');
      const page = await browser.newPage();
      // The page comes from rota's own port under the foreign name, as a rebound one would.
      const landed = await page.goto(`${new URL(own).origin}/`);
      assert.equal(landed.status(), 421);
      const outcome = await page.evaluate(async ({ to, text }) => {
        const reply = await fetch(to, { method: 'POST', body: text });
        return `${reply.status} ${await reply.text()}`;
      }, { to: own, text: body });
      assert.match(outcome, /^421 .*HOST_NOT_ALLOWED/, 'same origin to the browser, and refused for its name');
      await page.close();
    }
  } finally {
    await browser.close();
  }
  await untouched(world, before, 'DNS rebinding');
});

test('the page’s own address is not one that another page may open or frame', async () => {
  const { world, browser } = made;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${site}/`);
  const status = await page.evaluate(url => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.onload = () => {
      try {
        done(frame.contentDocument?.body?.textContent ?? 'nothing to read');
      } catch (error) {
        done(error.name);
      }
    };
    frame.src = url;
    document.body.append(frame);
  }), `${world.admin}/`);
  assert.doesNotMatch(String(status), /Overview|token/);
  // A link on that page: the browser says where it comes from, and the gate turns it away.
  const [reply] = await Promise.all([page.waitForResponse(response => response.url() === `${world.admin}/`), page.evaluate(url => location.assign(url), `${world.admin}/`)]);
  assert.equal(reply.status(), 403);
  await context.close();
});
