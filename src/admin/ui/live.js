// Keeps the world up to date: the server's events where there are any, asking where there are none, and the truth about
// whether anybody is there at all.
import { ask, get, getIfThere, token } from './api.js';
import { changed, learn, world } from './world.js';

const POLL = 2000;
/** Figures that no event tells of. */
const REFRESH = 10_000;
const RETRY = 1000;
/** The server says something every 15 s. */
const SILENCE = 40_000;
const DECISIONS = 100;

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
  await Promise.all([learnStats(), learnFlags(), get(`/api/decisions?limit=${DECISIONS}`).then(page => learn(page.decisions))]);
}

function lost(error) {
  if (error.lost) link('lost');
}

/** Asks for `path` while `el` is on the page: now, at each event `name`, and every so often. `take` is given the answer,
 * null where this rota has no such endpoint, or the error. */
export function keep(el, path, name, every, take) {
  let timer;
  const again = once(() => getIfThere(path).then(take, error => (error.lost ? lost(error) : take(error))));
  const tick = () => {
    if (el.isConnected) return again();
    clearInterval(timer);
    removeEventListener(`rota:${name}`, tick);
  };
  addEventListener(`rota:${name}`, tick);
  timer = setInterval(tick, every);
  again();
  return again;
}

/** What to do about each event; others are for one view, which hears them as `rota:NAME`. */
const EVENTS = {
  decision: record => learn([record]),
  accounts: () => status().catch(lost),
  force: () => status().catch(lost),
  limits: () => status().catch(lost),
  login: () => status().catch(lost),
  settings: () => Promise.all([status(), learnFlags()]).catch(lost),
  lagged: () => reload().catch(lost),
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

/** Reads events until they end. An `EventSource` would have to put the token into an address. */
async function listen() {
  const stop = new AbortController();
  let watch;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => stop.abort(), SILENCE);
  };
  alive();
  try {
    const reply = await ask('GET', '/api/events', undefined, stop.signal);
    await reload();
    link('live');
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      world.seen = Date.now();
      const blocks = (text + value.replaceAll('\r', '')).split('\n\n');
      text = blocks.pop();
      blocks.forEach(hear);
    }
  } finally {
    clearTimeout(watch);
    stop.abort();
  }
}

async function poll() {
  await reload();
  link('polling');
  await wait(POLL);
}

/** Goes on for as long as there is a token. */
export async function follow() {
  let absent = false;
  const beat = setInterval(() => world.link === 'live' && document.visibilityState === 'visible' &&
    Promise.all([status(), stats()]).catch(lost), REFRESH);
  while (token.get()) {
    try {
      if (absent) {
        await poll();
        continue;
      }
      await listen();
    } catch (error) {
      if (error.absent) absent = true;
      else if (error.status === 401) break;
    }
    if (!absent) {
      link('lost');
      await wait(RETRY);
    }
  }
  clearInterval(beat);
}
