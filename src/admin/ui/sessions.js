// Which conversation is on which account, and taking one off it.
import { button } from './act.js';
import { api } from './api.js';
import { card, h, missing, table } from './dom.js';
import { keep } from './live.js';
import { changed, region, when, world } from './world.js';

const EVERY = 5000;

export function sessionsView(main) {
  let page;
  main.append(h('h1', {}, 'Sessions'));
  const place = region(h('div'), ['sessions'], () => {
    if (!page?.sessions) return missing(page);
    return card('pins', 'Soft: moves when its account cannot serve', page.sessions.length ? table('Sessions', ['Session', 'Named by', 'Provider', 'Account', 'Used', 'Ends', 'Actions'], page.sessions.map(row))
      : h('p', { class: 'mute' }, 'No session has an account.'), h('p', { class: 'sub' }, `${page.sessions.length} of ${page.total} shown.`));
  });
  main.append(place, region(h('div'), ['decisions'], hard));
  const again = keep(place, '/api/sessions', 'sessions', EVERY, answer => {
    page = answer;
    changed('sessions');
  });
  const clear = async session => {
    await api('DELETE', `/api/sessions/${session.key}`);
    page = { ...page, sessions: page.sessions.filter(other => other.key !== session.key), total: page.total - 1 };
    again();
  };
  function row(session) {
    const cells = [h('code', { title: session.id }, session.id.slice(0, 24)), session.kind, session.provider, session.account ?? 'none', when(session.used), when(session.until),
      h('span', {}, button(`session ${session.key}`, 'Clear', () => clear(session), { 'aria-label': `Clear ${session.id}` }))];
    cells.key = session.key;
    return cells;
  }
}

/** Ties by what a conversation holds. No list of them is kept by session, so the latest decisions tell. */
function hard() {
  const tied = world.decisions.filter(({ why }) => why === 'owner');
  const accounts = [...new Set(tied.map(({ selectedAlias }) => selectedAlias))];
  return card('ties', 'Hard: only one account can read what the conversation holds', accounts.length ? table('Hard ties', ['Account', 'Of the latest requests', 'Last'], accounts.map(alias => {
    const own = tied.filter(({ selectedAlias }) => selectedAlias === alias);
    return [alias, String(own.length), when(own[0].at)];
  })) : h('p', { class: 'mute' }, 'None of the latest requests.'));
}
