// Signing in: a page to open or a code to type, how long that is good for, and what came of it.
import { act, busy, button, form, trouble } from './act.js';
import { account as path, api, get } from './api.js';
import { choice, field, h, link } from './dom.js';
import { reload } from './live.js';
import { changed, when } from './world.js';

const ASK = 1000;
const WAYS = [['', 'as the provider prefers'], ['browser', 'in a browser on this machine'], ['device', 'by a code on another device'], ['paste', 'by a pasted address']];
// Jobs that were begun here, by alias; a new account has nowhere else to keep its own.
const jobs = new Map();
const way = new Map();
const pasted = new Map();

const started = job => Date.parse(job?.startedAt ?? 0);

/** The latest job for `alias`: one begun here, or the one that the account's view tells of. */
export function jobOf(alias, told) {
  const own = jobs.get(alias);
  return !own || started(told) > started(own) || told?.id === own.id && told.shown !== 'in-progress' ? told : own;
}

/** Begins, and follows the job to its end. */
export async function begin(alias, body, again) {
  const job = await api('POST', again ? path(alias, '/reauth') : '/api/login', body);
  jobs.set(alias, job);
  changed('jobs');
  follow(alias, job.id);
}

async function follow(alias, id) {
  for (let job = jobs.get(alias); job?.id === id && job.shown === 'in-progress'; job = jobs.get(alias)) {
    await new Promise(done => setTimeout(done, ASK));
    const next = await get(`/api/login/${id}`).catch(error => (error.lost ? job : { ...job, shown: 'error', error }));
    if (jobs.get(alias)?.id !== id) return;
    jobs.set(alias, next);
    changed('jobs');
  }
  await reload().catch(() => {});
}

/** The choice of a way to sign in. */
export function ways(alias, offered) {
  const known = WAYS.filter(([value]) => !value || !offered || offered.includes(value));
  return field('How', choice({ value: way.get(alias) ?? '', onchange: event => way.set(alias, event.target.value) }, known));
}

/** The body of a request to sign in. */
export const asked = (alias, body = {}) => (way.get(alias) ? { ...body, flow: way.get(alias) } : body);

/** One job, whatever its state. */
export function jobView(alias, job) {
  const state = busy(`sign in ${alias}`) && job?.shown !== 'in-progress' ? 'in-progress' : (job?.shown ?? 'idle');
  return h('div', { class: 'job', 'data-state': state, role: 'status' }, told(alias, job, state));
}

function told(alias, job, state) {
  switch (state) {
    case 'in-progress':
      return job?.shown === 'in-progress' ? [offer(alias, job), h('div', { class: 'row' },
        h('span', { class: 'sub' }, job.progress.replaceAll('-', ' '), ', ', when(job.expiresAt, 'count'), ' left'),
        button(`cancel ${alias}`, 'Stop signing in', () => stop(alias, job)))] : 'Asking the provider…';
    case 'success':
      return h('span', { class: 'ok' }, '✔ Signed in.');
    case 'error':
      return h('span', { class: 'bad' }, `✕ ${job.error?.message ?? 'It failed.'}`);
    default:
      return null;
  }
}

async function stop(alias, job) {
  jobs.set(alias, await api('DELETE', `/api/login/${job.id}`));
  await reload();
}

function offer(alias, job) {
  if (job.userCode) {
    return h('ol', {}, h('li', {}, 'On any device open ', link(job.verificationUrlComplete ?? job.verificationUrl, job.verificationUrl)),
      h('li', {}, 'Type the code ', h('code', { class: 'code' }, job.userCode)));
  }
  if (!job.authorizeUrl) return null;
  const finish = async () => {
    jobs.set(alias, await api('POST', `/api/login/${job.id}/complete`, { url: pasted.get(alias) ?? '' }));
    pasted.delete(alias);
  };
  return [
    h('p', {}, link(job.authorizeUrl, 'Open the sign-in page'), job.flow === 'browser' ? '; it comes back here by itself.' : ', then paste where it ended.'),
    form(`paste ${alias}`, 'Finish', finish, field(job.flow === 'browser' ? 'Or paste the address at which the browser ended' : 'What the browser shows at the end, or its address',
      h('input', { type: 'text', autocomplete: 'off', value: pasted.get(alias) ?? '', oninput: event => pasted.set(alias, event.target.value) }))),
  ];
}

/** Signing an account in again, and how that goes. */
export function signInAgain(account) {
  const { alias, reauth, credential } = account;
  const job = jobOf(alias, reauth);
  if (credential.kind && credential.kind !== 'oauth') return h('p', { class: 'sub' }, 'This account has a key; there is nothing to sign in to.');
  const going = job?.shown === 'in-progress';
  return [jobView(alias, job), !going && h('div', { class: 'row' }, ways(alias),
    h('button', { type: 'button', disabled: busy(`sign in ${alias}`), onclick: () => act(`sign in ${alias}`, () => begin(alias, asked(alias), true)) }, 'Sign in again'),
    trouble(`sign in ${alias}`))];
}
