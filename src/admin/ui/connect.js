// What to paste where, for each client; and whether its first request has come.
import { button } from './act.js';
import { getIfThere } from './api.js';
import { card, choice, field, h, missing, prose } from './dom.js';
import { ending, story } from './words.js';
import { changed, now, region, world } from './world.js';

let chosen;
let copied = null;

export function connectView(main) {
  let clients;
  let since = now();
  copied = null;
  const pick = event => {
    chosen = event.target.value;
    since = now();
    changed('clients');
  };
  main.append(h('h1', {}, 'Connect'), region(h('div', { class: 'view' }), ['clients'], () => {
    if (!clients?.length) return missing(clients);
    const client = clients.find(({ id }) => id === chosen) ?? clients[0];
    return [field('Client', choice({ id: 'client', value: client.id, onchange: pick }, clients.map(({ id, name }) => [id, name]))), told(client)];
  }), region(h('p', { id: 'first', class: 'card', role: 'status' }), ['decisions', 'clients'], () => first(since)));
  getIfThere('/api/clients').then(answer => answer && answer.clients, error => error).then(answer => {
    clients = answer;
    changed('clients');
  });
}

function told({ name, about, snippets, notes }) {
  return card('client-card', name, about && h('p', {}, prose(about)), snippets.map(({ title, text, file }, i) => h('div', { class: 'snippet', key: title },
    h('div', { class: 'row' }, h('b', {}, title), file && h('code', {}, file), h('span', { class: 'grow' }), button(`copy ${i}`, copied === text ? 'Copied' : 'Copy', () => copy(text), { 'aria-label': `Copy: ${title}` })),
    h('pre', { tabindex: 0 }, text))), notes?.length > 0 && h('ul', {}, notes.map(note => h('li', {}, prose(note)))));
}

async function copy(text) {
  await navigator.clipboard.writeText(text);
  copied = text;
}

/** The first request since this client is looked at. */
function first(since) {
  const seen = world.decisions.filter(({ at }) => Date.parse(at) >= since).pop();
  if (!seen) return [h('span', { class: 'mute' }, 'Waiting for the first request…')];
  const [tone, words] = ending(seen);
  return [h('b', { class: 'ok' }, 'First request seen! '), h('span', { class: tone }, words), h('span', { class: 'sub' }, ` ${story(seen)} `), h('a', { href: `#/decisions/${seen.requestId}` }, 'its trail')];
}
