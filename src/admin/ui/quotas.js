// The quotas of accounts outside the pool: a panel to read from, there only while its flag is on.
import { card, h, table } from './dom.js';
import { meters } from './limits.js';
import { keep } from './live.js';
import { changed, region } from './world.js';

const EVERY = 30_000;

export function quotasView(main) {
  let page;
  main.append(h('h1', {}, 'Antigravity'));
  const place = region(h('div'), ['quotas'], () => {
    if (page === undefined) return h('p', { class: 'mute' }, 'Loading…');
    if (page instanceof Error) return h('p', { class: 'bad', role: 'alert' }, page.message);
    if (!page?.accounts) return h('p', { class: 'mute' }, 'Not available.');
    return card('quotas', 'Outside the pool', h('p', { class: 'sub' }, 'Read only. Nothing here has a say in who serves.'),
      page.accounts.length ? table('Accounts outside the pool', ['Account', 'Left'], page.accounts.map(one => [one.name ?? one.email ?? one.alias, one.limits ? meters(one.limits) : 'unknown'])) : h('p', { class: 'mute' }, 'None was found.'));
  });
  main.append(place);
  keep(place, '/api/antigravity', 'limits', EVERY, answer => {
    page = answer;
    changed('quotas');
  });
}
