// What was decided: the latest requests, and the trail of one.
import { button } from './act.js';
import { get } from './api.js';
import { card, choice, field, h, missing, table } from './dom.js';
import { keepDecisions } from './live.js';
import { clock, count, day, ending, fits, millis, signInEnd, story, why } from './words.js';
import { changed, learn, MOST_DECISIONS, region, when, world } from './world.js';

const OUTCOMES = [['', 'all'], ['served', 'served'], ['passed', 'handed on'], ['refused', 'refused'], ['abandoned', 'abandoned']];
const SHOWN = 100;
const wanted = { text: '', outcome: '' };

/** One, as a line of a list. */
export function decisionLine(decision) {
  const [tone, words] = ending(decision);
  return h('li', { key: decision.requestId }, h('a', { href: `#/decisions/${decision.requestId}` }, h('code', {}, clock(decision.at))), ' ',
    h('b', {}, decision.selectedAlias ?? '–'), ' ', h('span', { class: tone }, words), h('div', { class: 'sub' }, story(decision)));
}

/** In place of a list that is empty. */
export const noDecision = () => (world.told ? h('p', { class: 'mute' }, 'No request has come since rota was started.') : missing());

export function decisionsView(main, id) {
  if (id) trail(main, id);
  else list(main);
}

function list(main) {
  const filter = (name, event) => {
    wanted[name] = event.target.value;
    changed('decisions');
  };
  const place = h('section', { class: 'card', 'aria-label': 'Decisions' });
  main.append(h('h1', {}, 'Decisions'), region(h('div', { class: 'row', role: 'search' }), [], () => [
    field('Find', h('input', { type: 'text', id: 'find', size: 34, placeholder: 'account, path, model, reason, id', autocomplete: 'off', value: wanted.text, oninput: event => filter('text', event) })),
    field('Ended', choice({ id: 'outcome', value: wanted.outcome, onchange: event => filter('outcome', event) }, OUTCOMES)),
    button('older', 'Fetch older ones', async () => learn((await get(`/api/decisions?limit=${MOST_DECISIONS}`)).decisions))]),
  region(place, ['decisions'], () => {
    const found = world.decisions.filter(decision => fits(decision, wanted));
    if (!world.decisions.length) return noDecision();
    if (!found.length) return h('p', { class: 'mute' }, 'None of those known here fits.');
    return [h('ol', { class: 'plain', id: 'decisions' }, found.slice(0, SHOWN).map(decisionLine)), h('p', { class: 'sub' }, `${Math.min(SHOWN, found.length)} of ${found.length} shown, the newest first.`)];
  }));
  keepDecisions(place);
}

async function trail(main, id) {
  main.append(h('h1', {}, `Request ${id.slice(0, 8)}`), h('p', {}, h('a', { href: '#/decisions' }, '← all decisions')));
  const place = h('div', { class: 'view' });
  main.append(place);
  try {
    const known = world.decisions.find(decision => decision.requestId === id) ?? (await get(`/api/decisions/${encodeURIComponent(id)}`));
    region(place, [], () => whole(known));
  } catch (error) {
    region(place, [], () => h('p', { class: 'bad', role: 'alert' }, error.message));
  }
}

function whole(decision) {
  const [tone, words] = ending(decision);
  const skipped = Object.entries(decision.reasons);
  const fact = (name, value) => value != null && h('div', {}, h('dt', {}, name), h('dd', {}, value));
  return [
    card('what', 'What came of it', h('p', { class: tone }, words), h('dl', { class: 'facts' }, fact('When', day(decision.at)), fact('Request', `${decision.method} ${decision.path}`),
      fact('Provider', decision.provider), fact('Model', decision.model), fact('Strategy', decision.strategy), fact('Session', decision.session ? `named by ${decision.session}` : 'none named'),
      fact('Forced to', decision.forceState), fact('Enabled', `${decision.enabledState[0]} of ${decision.enabledState[1]} accounts`),
      fact('Added by rota', millis(decision.overheadMs)), fact('First byte', millis(decision.firstByteMs)), fact('In all', millis(decision.durationMs)),
      fact('Bytes', `${count(decision.bytesIn)} in, ${count(decision.bytesOut)} out`))),
    card('tries', 'Who was asked, and why', decision.attempts.length ? table('Attempts', ['Account', 'Why it', 'Answer', 'What it meant', 'Took'], decision.attempts.map(a =>
      [a.alias, why(a.why), a.status ?? 'none', a.reason ? `${a.reason} (${a.verdict}${a.rule ? `, rule ${a.rule}` : ''}; blames: ${a.scope})` : a.status >= 400 ? 'handed on as it was' : 'served', millis(a.ms)])) : h('p', { class: 'mute' }, 'Nobody.'),
    decision.signIn && h('p', {}, `A sign-in to ${decision.signIn.alias} was asked for, ${signInEnd(decision.signIn.end)}.`),
    decision.inBand && h('p', { class: 'warn' }, `The reply held a refusal: ${decision.inBand.reason ?? decision.inBand.verdict}.`)),
    skipped.length > 0 && card('skipped', 'Who was not, and why', table('Skipped accounts', ['Account', 'Reason', 'Until'], skipped.map(([alias, { reason, until }]) => [alias, reason, until ? when(until) : 'somebody acts']))),
  ];
}
