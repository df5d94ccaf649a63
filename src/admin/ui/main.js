// The page around the views: who may see it, where one is, what is always shown.
import { accountView } from './account.js';
import { addView } from './add.js';
import { forget } from './act.js';
import { token } from './api.js';
import { connectView } from './connect.js';
import { decisionsView } from './decisions.js';
import { card, choice, field, h, patch } from './dom.js';
import { banner } from './force.js';
import { redeem } from './handover.js';
import { follow } from './live.js';
import { overview } from './overview.js';
import { privacy, shown } from './privacy.js';
import { quotasView } from './quotas.js';
import { sessionsView } from './sessions.js';
import { settingsView } from './settings.js';
import { clock } from './words.js';
import { accounts, changed, region, when, world } from './world.js';

const $ = selector => document.querySelector(selector);
const THEME = 'rota.theme';

/** By the first part of the address. `flag`: only where that feature is on. */
const VIEWS = Object.assign(Object.create(null), {
  '': { title: 'Overview', show: overview },
  decisions: { title: 'Decisions', show: decisionsView },
  sessions: { title: 'Sessions', show: sessionsView },
  connect: { title: 'Connect', show: connectView },
  settings: { title: 'Settings', show: settingsView },
  antigravity: { title: 'Antigravity', show: quotasView, flag: 'antigravity' },
  add: { title: 'Add account', show: addView, hidden: true },
  accounts: { title: 'Account', show: accountView, hidden: true },
});
const allowed = view => !view.flag || world.flags?.[view.flag] === true;
const place = () => location.hash.replace(/^#\/?/, '').split('/').map(plain);

/** What a part of the address says; one that is no text as it stands. */
function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Made once: an image is fetched for each node of its own.
const brand = h('strong', { class: 'brand' }, h('img', { src: '/ui/icon.svg', alt: '', width: 22, height: 22 }), 'rota');

function top() {
  const [here] = place();
  const links = Object.entries(VIEWS).filter(([, view]) => !view.hidden && allowed(view));
  return [
    brand,
    token.get() && h('nav', { 'aria-label': 'Main' }, links.map(([path, { title }]) =>
      h('a', { key: path, href: `#/${path}`, 'aria-current': path === here ? 'page' : null }, title))),
    h('span', { class: 'grow' }),
    h('button', { id: 'privacy', type: 'button', 'aria-pressed': String(privacy.on), onclick: hide }, 'Hide e-mails'),
    choice({ id: 'theme', 'aria-label': 'Colours', value: localStorage.getItem(THEME) ?? 'system', onchange: paint },
      [['system', 'System'], ['light', 'Light'], ['dark', 'Dark']]),
  ];
}

function hide() {
  privacy.on = !privacy.on;
  titled();
  changed('*');
}

function paint(event) {
  localStorage.setItem(THEME, event.target.value);
  coloured();
}

function coloured() {
  document.documentElement.dataset.theme = localStorage.getItem(THEME) ?? 'system';
}

function connection() {
  if (!token.get() || world.link !== 'lost') return [];
  return [h('p', { class: 'warn alarm' }, h('b', {}, '⚠ Reconnecting… '), `rota does not answer. What is shown is from ${clock(world.seen)}.`)];
}

function foot() {
  const { status } = world;
  if (!status || !token.get()) return [];
  const words = { live: 'live', polling: 'asking every 2 s', lost: 'reconnecting', connecting: 'connecting' };
  const probed = accounts().map(account => account.limits.lastLimitProbeAt).filter(Boolean).sort().pop();
  return [
    h('span', {}, 'strategy ', h('b', {}, status.strategy)),
    h('span', {}, 'limits seen ', probed ? h('b', {}, when(probed)) : h('b', {}, 'never')),
    h('span', {}, 'store ', h('b', {}, status.store.saved ? 'saved' : status.store.lastError ? 'not saved' : 'saving'), status.store.lastError && ` (${status.store.lastError})`),
    h('span', {}, 'proxy ', h('code', {}, status.proxy[0] ?? '–')),
    h('span', {}, `rota ${status.version}`),
    h('span', { id: 'live' }, words[world.link]),
  ];
}

function titled() {
  const [here, name] = place();
  const title = (VIEWS[here] ?? VIEWS['']).title;
  document.title = shown(name ? `${name} – rota` : `${title} – rota`);
}

function route() {
  const main = $('main');
  forget();
  titled();
  changed('*');
  if (!token.get()) {
    patch(main, door());
    return;
  }
  const [here, ...rest] = place();
  const view = VIEWS[here] && allowed(VIEWS[here]) ? VIEWS[here] : VIEWS[''];
  // A new element, so that what belonged to the last view goes with it.
  const inside = h('div', { class: 'view' });
  main.replaceChildren(inside);
  view.show(inside, ...rest);
}

/** For whom comes without a ticket: what the file of the state directory holds can be pasted. */
function door() {
  const open = event => {
    event.preventDefault();
    const text = $('#token').value.trim();
    if (!text) return;
    token.set(text);
    begin();
  };
  return card('door', 'This page needs the admin token',
    h('p', {}, h('code', {}, 'rota dashboard'), ' opens it signed in. Or paste what the file ', h('code', {}, 'admin-token'), ' in rota’s state directory holds:'),
    h('form', { onsubmit: open }, field('Admin token', h('input', { id: 'token', type: 'password', autocomplete: 'off', required: true })),
      h('div', { class: 'row' }, h('button', { class: 'primary' }, 'Open'), h('span', { id: 'door-said', role: 'alert', class: 'bad' }, said))));
}

let said = '';
addEventListener('rota:signed-out', () => {
  if (!token.get()) return;
  token.drop();
  said = 'rota does not know this token.';
  route();
});

function begin() {
  said = '';
  route();
  follow();
}

coloured();
region($('header'), ['flags'], top);
region($('#link'), [], connection);
region($('#banner'), ['status'], () => (token.get() ? banner() : []));
region($('footer'), ['status'], foot);
addEventListener('rota:flags', () => VIEWS[place()[0]]?.flag && route());
addEventListener('hashchange', async () => {
  if (await enter()) begin();
  else route();
  $('main').focus({ preventScroll: true });
});

/** Trades the ticket in the address, if there is one. */
async function enter() {
  try {
    return await redeem();
  } catch (error) {
    said = error.message;
    return false;
  }
}

await enter();
if (token.get()) begin();
else route();
