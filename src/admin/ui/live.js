// Keeps the world up to date: the server's events where there are any, asking where there are none, and the truth about
// whether anybody is there at all.
import { ask, get, getIfThere, Refused, token } from './api.js';
import { changed, learn, world } from './world.js';

const POLL = 2000;
/** Figures that no event tells of. */
const REFRESH = 10_000;
const RETRY = 1000;
/** The server says something every 15 s. */
const SILENCE = 40_000;
/** Decisions on the first screen, and so in every reload; views that show more ask for them. */
export const LATEST = 8;

const wait = ms => new Promise(done => setTimeout(done, ms));

function link(state) {
  if (state !== 'lost') world.seen = Date.now();
  if (world.link === state) return;
  world.link = state;
  changed('*');
}

async function learnStatus() {
  const status = await get('/api/status');
  world.status = status;
  world.skew = Date.parse(status.now) - Date.now();
  world.seen = Date.now();
  changed('status');
}

async function learnStats() {
  world.stats = await getIfThere('/api/stats?window=24h');
  changed('stats');
}

async function learnFlags() {
  const flags = await getIfThere('/api/settings/feature-flags');
  const same = JSON.stringify(flags) === JSON.stringify(world.flags);
  world.flags = flags;
  changed('flags');
  if (!same) dispatchEvent(new Event('rota:flags'));
}

/** One fetch at a time, however often it is wanted; and never more than two a second. */
function once(work) {
  let running = null;
  let again = false;
  return function run() {
    if (running) {
      again = true;
      return running;
    }
    running = work().finally(async () => {
      await wait(500);
      running = null;
      if (again) {
        again = false;
        run().catch(lost);
      }
    });
    return running;
  };
}

const status = once(learnStatus);
const stats = once(learnStats);

/** Everything, now. After a change of one's own, so that the page shows what came of it. */
export async function reload() {
  await learnStatus();
  await Promise.all([learnStats(), learnFlags(), get(`/api/decisions?limit=${LATEST}`).then(page => learn(page.decisions))]);
}

/** Everything again, for the views as well. */
async function catchUp() {
  await reload();
  dispatchEvent(new Event('rota:again'));
}

// Whether events come in.
let hearing = false;

let retry;

/** Something did not come. While events still do, it is asked for again from here; otherwise by who waits for events. */
function lost(error) {
  if (!error.lost) return;
  link('lost');
  clearTimeout(retry);
  retry = setTimeout(() => hearing && catchUp().then(() => hearing && link('live')).catch(lost), RETRY);
}

/** Asks for `path` while `el` is on the page: now, at each event `name`, when rota is back, and every so often. `take` is given the answer,
 * null where this rota has no such endpoint, or the error. */
export function keep(el, path, name, every, take) {
  let timer;
  const again = once(() => getIfThere(path).then(take, error => (error.lost ? lost(error) : take(error))));
  const tick = () => {
    if (el.isConnected) return again();
    clearInterval(timer);
    heard.forEach(event => removeEventListener(event, tick));
  };
  const heard = [`rota:${name}`, 'rota:again'];
  heard.forEach(event => addEventListener(event, tick));
  timer = setInterval(tick, every);
  again();
  return again;
}

/** Asks for many of the latest decisions while `el` is on the page; single ones come as events. */
export const keepDecisions = el => keep(el, '/api/decisions?limit=100', 'lagged', 60_000, page => page?.decisions && learn(page.decisions));

/** What to do about each event; others are for one view, which hears them as `rota:NAME`. */
const EVENTS = {
  decision: record => learn([record]),
  accounts: () => status().catch(lost),
  force: () => status().catch(lost),
  limits: () => status().catch(lost),
  login: () => status().catch(lost),
  settings: () => Promise.all([status(), learnFlags()]).catch(lost),
  lagged: () => catchUp().catch(lost),
};

function hear(block) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    if (line.startsWith('data:')) data.push(line.slice(5));
  }
  if (!data.length) return;
  const detail = JSON.parse(data.join('\n'));
  EVENTS[name]?.(detail);
  dispatchEvent(new CustomEvent(`rota:${name}`, { detail }));
}

/** Reads events until they end, or are not wanted any more. An `EventSource` would have to put the token into an address. */
async function listen(stop) {
  let watch;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => stop.abort(), SILENCE);
  };
  alive();
  try {
    const reply = await ask('GET', '/api/events', undefined, stop.signal);
    await catchUp();
    hearing = true;
    link('live');
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      if (world.link === 'live') world.seen = Date.now();
      const blocks = (text + value.replaceAll('\r', '')).split('\n\n');
      text = blocks.pop();
      blocks.forEach(hear);
    }
  } finally {
    hearing = false;
    clearTimeout(watch);
    stop.abort();
  }
}

/** One turn of keeping up. True where somebody answered. */
async function keepUp(stop) {
  try {
    await listen(stop);
    return false;
  } catch (error) {
    // It is there, but it has no events for this page: an older one, or one that too many listen to.
    if (!(error instanceof Refused) || error.lost) return false;
  }
  try {
    await reload();
    link('polling');
    return true;
  } catch {
    return false;
  }
}

// The one that keeps up now.
let following = new AbortController();

/** Keeps up for as long as there is a token. Whoever calls it again begins anew. */
export async function follow() {
  following.abort();
  const mine = (following = new AbortController());
  const beat = setInterval(() => world.link === 'live' && document.visibilityState === 'visible' &&
    Promise.all([status(), stats()]).catch(lost), REFRESH);
  while (token.get() && !mine.signal.aborted) {
    const stop = new AbortController();
    mine.signal.addEventListener('abort', () => stop.abort(), { once: true, signal: stop.signal });
    const there = await keepUp(stop);
    if (mine.signal.aborted) break;
    if (!there) link('lost');
    await wait(there ? POLL : RETRY);
  }
  clearInterval(beat);
}
