// What is known, and who is told when it changes. Views are drawn from here, at most five times a second.
import { h, patch } from './dom.js';
import { beside } from './words.js';

/** Decisions kept by this page. */
export const MOST_DECISIONS = 200;
const BETWEEN_DRAWINGS = 200;

/** What was not heard of yet is undefined, or for `decisions` not `told`; null is what this rota does not have. */
export const world = {
  status: undefined,
  stats: undefined,
  flags: undefined,
  decisions: [],
  told: false,
  // 'connecting' | 'live' | 'polling' | 'lost'
  link: 'connecting',
  seen: Date.now(),
  skew: 0,
};

/** The server's time. */
export const now = () => Date.now() + world.skew;
export const accounts = () => world.status?.accounts ?? [];
export const named = alias => accounts().find(account => account.alias === alias);

const regions = new Set();
const dirty = new Set();
// Regions that are to be drawn, each in its turn.
const stale = new Set();
let drawing = false;
let due = false;
let drawn = 0;

/** Says that `topic` is not what it was; `*` is everything. */
export function changed(topic) {
  dirty.add(topic);
  if (due) return;
  due = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawn + BETWEEN_DRAWINGS - performance.now()));
}

function draw() {
  due = false;
  drawn = performance.now();
  const topics = new Set(dirty);
  dirty.clear();
  for (const region of regions) {
    if (!region.el.isConnected) regions.delete(region);
    else if (topics.has('*') || region.topics.some(topic => topics.has(topic))) stale.add(region);
  }
  if (stale.size) drawNext();
}

/** One region, and the rest in tasks of their own: who types or clicks waits for one at most. */
function drawNext() {
  const [region] = stale;
  stale.delete(region);
  if (region.el.isConnected) region.draw();
  if (stale.size && !drawing) {
    drawing = true;
    setTimeout(() => {
      drawing = false;
      drawNext();
    });
  }
}

/** Keeps `el` showing what `build` makes, whenever one of `topics` changes and for as long as it is on the page, where it must
 * be before the next drawing. */
export function region(el, topics, build) {
  const made = { el, topics, draw: () => patch(el, build()) };
  regions.add(made);
  made.draw();
  return el;
}

/** A time beside now that stays right: `form` is `beside`, `left` or `count`. */
export const when = (iso, form = 'beside') =>
  h('time', { datetime: iso, title: iso, 'data-tick': form }, beside(iso, form, now()));

setInterval(() => {
  for (const el of document.querySelectorAll('[data-tick]')) {
    const text = beside(el.getAttribute('datetime'), el.dataset.tick, now());
    if (el.textContent !== text) el.textContent = text;
  }
}, 1000);

/** Takes decisions, newest first or one by one, each once. */
export function learn(decisions) {
  const known = new Set(world.decisions.map(decision => decision.requestId));
  const fresh = decisions.filter(decision => !known.has(decision.requestId));
  if (!fresh.length && world.told) return;
  world.told = true;
  world.decisions = [...fresh, ...world.decisions].sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, MOST_DECISIONS);
  changed('decisions');
}
