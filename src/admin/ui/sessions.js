// Which conversation is on which account, and taking one off it.
import { button } from './act.js';
import { api } from './api.js';
import { card, h, missing, table } from './dom.js';
import { keep, keepDecisions } from './live.js';
import { count } from './words.js';
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
  main.append(place, region(h('div'), ['sessions', 'decisions'], () => page?.ties && hard(page.ties)));
  keepDecisions(place);
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

/** Ties by what a conversation holds: kept by account, so the latest decisions tell of what came of them. */
function hard(ties) {
  const row = ({ account, held, until }) => {
    const own = world.decisions.filter(({ why, selectedAlias }) => why === 'owner' && selectedAlias === account);
    const cells = [account, `${count(held)} texts and ids`, when(until), own.length ? [`${own.length}, the last `, when(own[0].at)] : 'none'];
    cells.key = account;
    return cells;
  };
  return card('ties', 'Hard: only one account can read what the conversation holds', ties.length ? table('Hard ties', ['Account', 'Holds', 'Forgotten, if not met', 'Of the latest requests'], ties.map(row))
    : h('p', { class: 'mute' }, 'No account holds anything that another could not read.'));
}
