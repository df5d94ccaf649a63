// Charts as SVG, and the same figures as a table. What is drawn is worked out by pure functions.
import { h, table } from './dom.js';
import { clock, count, day, percent, windowName } from './words.js';

const WIDE = 640, HIGH = 190, LEFT = 34, FOOT = 20;
/** Colours there are; what comes after them is added up under a name that no account can have. */
export const MOST_NAMES = 7;
const REST = 'all others';

/** The names worth a colour of their own, the busiest first, and the rest under one name. */
export function ranked(series) {
  const sums = new Map();
  for (const { byAccount } of series) for (const [name, n] of Object.entries(byAccount)) sums.set(name, (sums.get(name) ?? 0) + n);
  const order = [...sums].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const named = order.slice(0, MOST_NAMES).map(([name, sum]) => ({ name, sum }));
  const rest = order.slice(MOST_NAMES).reduce((sum, [, n]) => sum + n, 0);
  return rest ? [...named, { name: REST, sum: rest }] : named;
}

/** What one moment holds of each of `names`. */
export function parts(byAccount, names) {
  const own = names.map(({ name }) => (Object.hasOwn(byAccount, name) ? byAccount[name] : 0));
  const all = Object.values(byAccount).reduce((sum, n) => sum + n, 0);
  const others = names.findIndex(({ name }) => name === REST);
  if (others >= 0) own[others] = all - own.reduce((sum, n, i) => (i === others ? sum : sum + n), 0);
  return own;
}

/** The next round figure that is not below `n`. */
export function ceiling(n) {
  if (n <= 4) return 4;
  const step = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 5, 10].map(k => k * step).find(top => top >= n);
}

/** Samples as points, `x` by time and `y` by percent. Samples without the window are left out, not drawn as 0. */
export function points(samples, window, from, to) {
  const x = at => LEFT + ((WIDE - LEFT) * (Date.parse(at) - from)) / Math.max(1, to - from);
  return samples.flatMap(({ at, windows }) => {
    const seen = windows.find(one => one.window === window);
    return seen ? [[x(at), (HIGH - FOOT) * (1 - seen.remainingPercent / 100)]] : [];
  });
}

function frame(id, title, description, top, unit, ...marks) {
  const base = HIGH - FOOT;
  const lines = [0, 0.5, 1].map(part => {
    const y = base * (1 - part);
    return h('g', {}, h('line', { class: 'grid', x1: LEFT, x2: WIDE, y1: y, y2: y }),
      h('text', { class: 'axis', x: 0, y: Math.max(10, y) }, `${Math.round(top * part)}${unit}`));
  });
  return h('svg', { class: 'chart', viewBox: `0 0 ${WIDE} ${HIGH}`, role: 'img', 'aria-labelledby': `${id}-t ${id}-d` },
    h('title', { id: `${id}-t` }, title), h('desc', { id: `${id}-d` }, description), lines, marks);
}

const key = (name, i, note) => h('span', {}, h('svg', { width: 10, height: 10, 'aria-hidden': 'true' }, h('rect', { class: `k${i}`, width: 10, height: 10, rx: 2 })), ` ${name} `, h('b', {}, note));
const folded = view => h('details', {}, h('summary', {}, 'Show as table'), view);

/** Requests by account over time, stacked. */
export function stacked(series) {
  const names = ranked(series);
  if (!names.length) return h('p', { class: 'mute' }, 'No request yet.');
  const rows = series.map(({ at, byAccount }) => ({ at, own: parts(byAccount, names) }));
  const top = ceiling(Math.max(...rows.map(({ own }) => own.reduce((sum, n) => sum + n, 0))));
  const wide = (WIDE - LEFT) / rows.length, base = HIGH - FOOT;
  const bars = rows.flatMap(({ at, own }, i) => {
    let y = base;
    return own.map((n, k) => {
      const tall = (base * n) / top;
      y -= tall;
      return n > 0 && h('rect', { class: `k${k}`, x: LEFT + i * wide + 1, y, width: wide - 2, height: tall }, h('title', {}, `${clock(at)} ${names[k].name}: ${n}`));
    });
  });
  const hours = rows.flatMap(({ at }, i) => (i % 4 ? [] : h('text', { class: 'axis', x: LEFT + i * wide, y: HIGH - 4 }, clock(at).slice(0, 5))));
  return [
    frame('requests', 'Requests per hour by account', names.map(({ name, sum }) => `${name} ${sum}`).join(', '), top, '', bars, hours),
    h('div', { class: 'legend' }, names.map(({ name, sum }, i) => key(name, i, count(sum)))),
    folded(table('Requests by account, table', ['Hour', ...names.map(({ name }) => name)], rows.map(({ at, own }) => [day(at), ...own.map(String)]))),
  ];
}

/** Who had how much of it. */
export function shares(byAccount) {
  if (!byAccount.length) return h('p', { class: 'mute' }, 'No request yet.');
  return table('Share of each account', ['Account', 'Share', 'Requests'], byAccount.map(({ alias, requests, share }) => [alias,
    h('span', { class: 'meter' }, h('svg', { width: 120, height: 8, role: 'img', 'aria-label': percent(share * 100, 1) },
      h('rect', { class: 'rail', width: 120, height: 8, rx: 4 }), h('rect', { class: 'k0', width: 120 * share, height: 8, rx: 4 })), h('b', {}, percent(share * 100, 1))),
    count(requests)]));
}

/** What was left of each window, over time. */
export function limitLines(samples) {
  if (samples.length < 2) return h('p', { class: 'mute' }, 'Not enough has been seen yet for a line.');
  const sorted = [...samples].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const names = [...new Set(sorted.flatMap(({ windows }) => windows.map(({ window }) => window)))];
  const from = Date.parse(sorted[0].at), to = Date.parse(sorted.at(-1).at);
  const lines = names.map((name, k) => h('polyline', { class: `line l${k % 8}`, points: points(sorted, name, from, to).map(p => p.map(n => n.toFixed(1)).join(',')).join(' ') }));
  const left = ({ windows }, name) => windows.find(({ window }) => window === name)?.remainingPercent;
  const said = n => (n == null ? 'unknown' : percent(n, 1));
  return [
    frame('limits', 'Quota left over time', names.map(name => `${windowName(name)} ${said(left(sorted.at(-1), name))} when last seen`).join(', '), 100, ' %', lines,
      h('text', { class: 'axis', x: LEFT, y: HIGH - 4 }, day(sorted[0].at)), h('text', { class: 'axis end', x: WIDE, y: HIGH - 4 }, day(sorted.at(-1).at))),
    h('div', { class: 'legend' }, names.map((name, i) => key(windowName(name), i, said(left(sorted.at(-1), name)))), h('span', { class: 'sub' }, `last seen ${day(sorted.at(-1).at)}`)),
    folded(table('Quota left, table', ['When', ...names.map(windowName), 'Seen by'], sorted.map(sample => [day(sample.at), ...names.map(name => said(left(sample, name))), sample.source?.kind ?? '–']))),
  ];
}
