// Who serves, how much is left, why: on one screen.
import { button } from './act.js';
import { accountsTable, probe, probing } from './accounts.js';
import { account as path, getIfThere } from './api.js';
import { limitLines, shares, stacked } from './chart.js';
import { decisionLine, noDecision } from './decisions.js';
import { card, choice, field, h, missing } from './dom.js';
import { forceCard } from './force.js';
import { LATEST } from './live.js';
import { count, millis, percent } from './words.js';
import { accounts, changed, region, when, world } from './world.js';

const figure = (label, value, note) => h('div', { key: label }, h('dl', {}, h('dt', {}, label), h('dd', {}, value)), h('small', {}, note));

function figures() {
  const { stats } = world;
  if (!stats) {
    const said = stats === undefined ? ['…', 'loading'] : ['unknown', 'this rota does not tell'];
    return ['Requests, 24 h', 'Saved by failover, 24 h', 'Added latency, p50 / p99', 'Capacity left'].map(label => figure(label, ...said));
  }
  const { answeredShare, refused, overheadMs, firstByteMs, capacity } = stats;
  const first = capacity.emptiesFirst;
  const unseen = accounts().filter(({ enabled, limits }) => enabled && limits.limitsConfidence === 'unknown').length;
  return [
    figure('Requests, 24 h', count(stats.requests), answeredShare == null ? 'none yet' : `${percent(answeredShare * 100, 2)} answered; ${count(refused)} given back to the client`),
    figure('Saved by failover, 24 h', count(stats.saved), 'refused by one account, answered by another'),
    figure('Added latency, p50 / p99', overheadMs.p50 == null ? 'unknown' : `${millis(overheadMs.p50)} / ${millis(overheadMs.p99)}`,
      firstByteMs.p50 == null ? 'no reply yet' : `upstream p50 to first byte ${millis(firstByteMs.p50)}`),
    figure('Capacity left', capacity.remainingPercent == null ? 'unknown' : percent(capacity.remainingPercent),
      [first ? [`${first.alias} empties first, `, when(first.at)] : 'nobody is known to run dry', unseen > 0 && `; ${unseen} ${unseen === 1 ? 'account' : 'accounts'} unknown`]),
  ];
}

export function overview(main) {
  main.append(
    h('h1', { class: 'vh' }, 'Overview'),
    region(h('section', { class: 'kpis', 'aria-label': 'Last 24 hours' }), ['stats', 'status'], figures),
    h('section', { class: 'card', 'aria-labelledby': 'accounts-h' },
      region(h('div', { class: 'row' }), ['status'], () => [h('h2', { id: 'accounts-h' }, 'Accounts'), h('span', { class: 'sub', id: 'asked', role: 'status' }, askedAbout()), h('span', { class: 'grow' }),
        button('probe', 'Probe all now', () => probe()), h('a', { class: 'button primary', href: '#/add' }, 'Add account')]),
      region(h('div', {}), ['status', 'stats'], accountsTable)),
    h('div', { class: 'two' },
      h('div', { class: 'view' },
        card('requests-card', 'Requests by account, last 24 h', region(h('div'), ['stats'], () => (world.stats ? stacked(world.stats.series) : missing(world.stats)))),
        card('shares', 'Distribution, last 24 h', region(h('div'), ['stats'], () => (world.stats ? shares(world.stats.byAccount) : missing(world.stats)))),
        history()),
      h('div', { class: 'view' },
        forceCard(),
        card('latest', 'Latest decisions', region(h('ol', { class: 'plain' }), ['decisions'], () =>
          world.decisions.length ? world.decisions.slice(0, LATEST).map(decisionLine) : h('li', {}, noDecision()))))));
}

/** How far the latest asking is, and of whom it told nothing. */
function askedAbout() {
  const going = accounts().filter(probing).length;
  if (going) return `Asking, ${going} to go…`;
  const failed = accounts().filter(({ limits }) => limits.refresh === 'error').map(({ alias }) => alias);
  return failed.length > 0 && `No answer about ${failed.join(', ')}.`;
}

/** What was left of one account's quota; one at a time, because each has a history of its own. */
function history() {
  let chosen;
  let samples;
  const place = h('div');
  const ask = async () => {
    samples = undefined;
    const asked = chosen;
    const detail = asked === undefined ? null : await getIfThere(path(asked)).catch(() => null);
    // Meanwhile somebody may have chosen another.
    if (asked !== chosen) return;
    samples = detail?.history ?? null;
    changed('history');
  };
  const pick = event => {
    chosen = event.target.value;
    ask();
  };
  addEventListener('rota:limits', function heard({ detail }) {
    if (!place.isConnected) removeEventListener('rota:limits', heard);
    else if (detail.alias === chosen) ask();
  });
  return card('history', 'Limits, over time', region(place, ['status', 'history'], () => {
    const names = accounts().map(({ alias }) => alias);
    if (!names.includes(chosen)) {
      [chosen] = names;
      ask();
    }
    if (!world.status) return missing();
    if (!names.length) return h('p', { class: 'mute' }, 'No account yet.');
    return [field('Account shown', choice({ value: chosen, onchange: pick }, names.map(name => [name, name]))), samples ? limitLines(samples) : missing(samples)];
  }));
}
