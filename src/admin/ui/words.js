// How figures and states are said. Pure: `now` is a parameter, in milliseconds.
const MINUTE = 60e3, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** "40 s", "6 min", "1 h 12 min", "3 d". */
export function span(ms) {
  if (ms < MINUTE) return `${Math.max(0, Math.round(ms / 1e3))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ${String(Math.floor((ms % HOUR) / MINUTE)).padStart(2, '0')} min`;
  return `${Math.floor(ms / DAY)} d`;
}

/** "1:05": what is left of a wait, to be looked at. */
export function countdown(ms) {
  const left = Math.max(0, Math.ceil(ms / 1e3));
  return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
}

/** A time beside now, in one of three forms. */
export function beside(iso, form, now) {
  const ms = Date.parse(iso) - now;
  if (form === 'count') return countdown(ms);
  if (form === 'left') return ms > 0 ? span(ms) : 'no time';
  return ms > 0 ? `in ${span(ms)}` : `${span(-ms)} ago`;
}

export const clock = iso => new Date(iso).toLocaleTimeString('en-GB');
export const day = iso => new Date(iso).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
export const count = n => n.toLocaleString('en-US');
export const millis = ms => (ms == null ? '–' : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
export const percent = (n, digits = 0) => `${Number(n.toFixed(digits))} %`;
export const tone = left => (left <= 10 ? 'bad' : left <= 30 ? 'warn' : 'ok');

const WINDOWS = { '5h': '5-hour', weekly: 'weekly' };
export const windowName = name => WINDOWS[name] ?? name;

/** What is known of a quota: `windows` is empty where nothing is. What is unknown is a word, never a number. */
export function trust(limits, now) {
  const age = limits.lastLimitProbeAt ? span(now - Date.parse(limits.lastLimitProbeAt)) : null;
  const failed = limits.limitError ? `the last try to learn it failed: ${limits.limitError}` : 'the last try to learn it failed';
  switch (limits.limitsConfidence) {
    case 'fresh':
      return { known: limits.windows.length > 0, mark: '', note: '', title: `seen ${age} ago` };
    case 'stale':
      return { known: limits.windows.length > 0, mark: '⚠', note: `stale, ${age} old`, title: `seen ${age} ago` };
    case 'error':
      return { known: limits.windows.length > 0, mark: '✕', note: `error, ${age} old`, title: failed };
    default: {
      const since = age ? `last seen ${age} ago` : 'nothing has been seen yet';
      return { known: false, mark: limits.limitError ? '✕' : '?', note: 'unknown', title: limits.limitError ? `${since}; ${failed}` : since };
    }
  }
}

const STATES = {
  eligible: ['●', 'ok', 'in rotation'],
  probation: ['●', 'ok', 'in rotation, on probation'],
  draining: ['◐', 'warn', 'low: no new sessions'],
  critical: ['◐', 'bad', 'critical: bound sessions only'],
  cooling: ['◐', 'warn', 'cooling down'],
  'model-refused': ['◐', 'warn', 'model refused'],
  'needs-reauth': ['✕', 'bad', 'needs sign-in'],
  disabled: ['○', 'mute', 'off'],
};
/** `[mark, tone, words]` of a state of eligibility. */
export const state = name => STATES[name] ?? ['?', 'mute', name];

const WHY = {
  forced: 'it is forced',
  owner: 'only it holds the state this conversation needs',
  refreshed: 'its token was renewed',
  rotated: 'its turn',
  session: 'the session is there',
  'signed-in': 'somebody signed in for this request',
  spilled: "its conversation's account had no free place",
};
export const why = name => WHY[name] ?? name ?? '–';

const ENDS = { raised: 'without waiting for it', 'signed-in': 'and somebody did', failed: 'and it failed', 'timed-out': 'and nobody did in time' };
export const signInEnd = end => ENDS[end] ?? 'and the client left';

/** `[tone, words]`: how a request ended. */
export function ending(decision) {
  const { outcome, status, refusal, selectedAlias } = decision;
  switch (outcome) {
    case 'served':
      return ['ok', `${status ?? ''} served by ${selectedAlias}`];
    case 'passed':
      return ['warn', `${status ?? ''} handed on as it was`];
    case 'abandoned':
      return ['mute', 'the client went away'];
    default:
      return ['bad', `${status ?? ''} refused${refusal ? `, ${refusal}` : ''}`];
  }
}

/** One line: why this account. */
export function story(decision) {
  const tries = decision.attempts;
  if (!tries.length) return decision.refusal ?? 'nobody was asked';
  const last = tries[tries.length - 1];
  const before = tries.slice(0, -1).map(a => `${a.alias}: ${a.status ?? 'no answer'} ${a.reason ?? ''}`.trim());
  return [...before, `${last.alias}: ${why(last.why)}`].join(' → ');
}

/** Whether a decision is what somebody looks for. */
export function fits(decision, { text = '', outcome = '' }) {
  if (outcome && decision.outcome !== outcome) return false;
  const hay = [decision.requestId, decision.path, decision.provider, decision.model, decision.selectedAlias, decision.why,
    decision.refusal, decision.status, ...decision.attempts.flatMap(a => [a.alias, a.reason, a.verdict])];
  const wanted = text.trim().toLowerCase();
  return !wanted || hay.some(part => part != null && String(part).toLowerCase().includes(wanted));
}
