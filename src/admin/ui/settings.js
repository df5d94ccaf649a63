// What may change while rota runs: each value with where it comes from, checked before it is sent.
import { button, form, sure, toggle } from './act.js';
import { account as path, api } from './api.js';
import { card, choice, h, missing, prose, table } from './dom.js';
import { keep, reload } from './live.js';
import { day } from './words.js';
import { accounts, changed, region, world } from './world.js';

const EVERY = 30_000;
const STRATEGIES = {
  'round-robin': 'each account in turn',
  'weighted-round-robin': 'in turn, by weight',
  'least-used': 'the one with most quota left',
  random: 'any of them',
  'fill-first': 'drain one, then the next',
  'reset-first': 'the quota that resets soonest',
};
const ORIGINS = { default: 'the default', settings: 'set here', file: 'the file decides', environment: 'the environment decides' };
const last = key => key.split('.').pop();

export function settingsView(main) {
  const state = { page: undefined, audit: undefined, draft: {}, wrong: {}, saved: '' };
  main.append(h('h1', {}, 'Settings'), region(h('div', { class: 'view' }), ['settings', 'flags'], () => values(state)), region(h('div'), ['status'], weights),
    region(h('div'), ['flags'], flags), region(h('div'), ['audit'], () => log(state.audit)));
  const take = name => answer => {
    state[name] = answer;
    changed(name === 'page' ? 'settings' : 'audit');
  };
  state.again = keep(main, '/api/settings', 'settings', EVERY, take('page'));
  state.retell = keep(main, '/api/audit?limit=50', 'settings', EVERY, take('audit'));
}

function values(state) {
  const { page, draft } = state;
  if (!page?.settings) return missing(page);
  const open = Object.keys(draft).length > 0;
  return [
    card('values', 'What may change while rota runs', form('save', 'Save', () => save(state), page.settings.filter(({ key }) => !key.startsWith('features.')).map(one => setting(one, state))),
      h('div', { class: 'row' }, button('discard', 'Discard changes', () => discard(state), { disabled: !open }), button('reset', 'Reset all to what is beneath', () => reset(state), { class: 'danger' }),
        h('span', { class: 'ok', id: 'saved', role: 'status' }, open ? '' : state.saved))),
    page.presets?.length > 0 && card('presets', 'Presets', page.presets.map(preset => h('div', { class: 'row', key: preset.name },
      button(`preset ${preset.name}`, preset.name, () => take(preset, state)), h('span', { class: 'sub' }, preset.description)))),
  ];
}

function setting(one, state) {
  const { key, value, origin, locked, lockedBy, constraint, description } = one;
  const said = state.wrong[key];
  const props = { name: key, id: `set-${key}`, disabled: locked, value: state.draft[key] ?? String(value), 'aria-invalid': said ? 'true' : null, 'aria-describedby': `about-${key}` };
  const change = event => edit(state, one, event.target.value);
  const control = last(key) === 'strategy' ? choice({ ...props, onchange: change }, Object.entries(STRATEGIES).map(([name, words]) => [name, `${name}: ${words}`]))
    : last(key) === 'affinity' ? choice({ ...props, onchange: change }, [['session', 'session: a conversation stays where it is'], ['none', 'none: every request rotates']])
      : typeof value === 'boolean' ? choice({ ...props, onchange: change }, [['true', 'on'], ['false', 'off']])
        : h('input', { ...props, type: 'text', inputmode: typeof value === 'number' ? 'decimal' : null, autocomplete: 'off', oninput: change });
  return h('div', { class: 'setting', key }, h('label', { for: props.id }, h('code', {}, key)), control,
    h('span', { class: `pill ${locked ? 'warn' : 'mute'}`, 'data-origin': origin }, locked ? `locked by ${lockedBy}` : (ORIGINS[origin] ?? origin)),
    h('small', { id: `about-${key}` }, prose(description), ' ', said ? h('b', { class: 'bad' }, said) : constraint && prose(`(${constraint})`)));
}

/** A value as the API takes it, from what was typed. */
const typed = (one, text) => (typeof one.value === 'number' && text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : typeof one.value === 'boolean' ? text === 'true' : text.trim());

function edit(state, one, text) {
  if (text === String(one.value)) delete state.draft[one.key];
  else state.draft[one.key] = text;
  state.saved = '';
  check(state);
  changed('settings');
}

/** What can be seen to be wrong without asking. */
function check(state) {
  state.wrong = {};
  const all = new Map(state.page.settings.map(one => [last(one.key), one]));
  const now = name => all.has(name) && typed(all.get(name), state.draft[all.get(name).key] ?? String(all.get(name).value));
  for (const one of state.page.settings) {
    const text = state.draft[one.key];
    if (text !== undefined && typeof one.value === 'number' && typeof typed(one, text) !== 'number') state.wrong[one.key] = 'must be a number';
  }
  if (typeof now('critical') === 'number' && typeof now('low') === 'number' && now('critical') >= now('low')) state.wrong[all.get('critical').key] = 'must be below low';
}

async function save(state) {
  check(state);
  const [wrong] = Object.entries(state.wrong);
  if (wrong) throw new Error(`${wrong[0]} ${wrong[1]}`);
  const settings = Object.fromEntries(state.page.settings.filter(({ key }) => key in state.draft).map(one => [one.key, typed(one, state.draft[one.key])]));
  try {
    adopt(state, await api('PUT', '/api/settings', { settings }), 'Saved.');
  } catch (error) {
    if (error.details?.field) state.wrong[error.details.field.replace(/^settings\./, '')] = error.details.constraint ?? error.message;
    throw error;
  }
  await reload();
}

function adopt(state, page, said) {
  Object.assign(state, { page: page?.settings ? page : state.page, draft: {}, wrong: {}, saved: said });
  state.again();
  state.retell();
}

const discard = state => Object.assign(state, { draft: {}, wrong: {} });
const list = changes => (changes.length ? changes.map(({ key, before, after }) => `${key}: ${before} → ${after}`).join('; ') : 'Nothing would change.');

async function reset(state) {
  const { changes } = await api('POST', '/api/settings/reset?dryRun=true', {});
  if (!(await sure('Reset the settings?', list(changes), 'Reset'))) return;
  adopt(state, await api('POST', '/api/settings/reset', {}), 'Reset.');
  await reload();
}

async function take({ name }, state) {
  const { changes } = await api('POST', '/api/settings/preset?dryRun=true', { name });
  if (!(await sure(`Take the preset ${name}?`, list(changes), 'Take it'))) return;
  adopt(state, await api('POST', '/api/settings/preset', { name }), `${name} is in force.`);
  await reload();
}

const drafts = new Map();

function weights() {
  if (!accounts().length) return [];
  const set = alias => async () => {
    const weight = Number(drafts.get(alias));
    if (!(weight > 0 && weight <= 1)) throw new Error('above 0, at most 1');
    await api('PATCH', path(alias), { weight });
    drafts.delete(alias);
    await reload();
  };
  return card('weights', 'Weights', table('Weights of the accounts', ['Account', 'Weight, above 0 and at most 1', 'Actions'], accounts().map(({ alias, weight }) => {
    const text = drafts.get(alias) ?? String(weight);
    const cells = [alias, h('input', { type: 'text', inputmode: 'decimal', size: 6, 'aria-label': `Weight of ${alias}`, value: text, oninput: event => {
      drafts.set(alias, event.target.value);
      changed('status');
    } }), h('span', {}, button(`weight ${alias}`, 'Set', set(alias), { disabled: text === String(weight), 'aria-label': `Set the weight of ${alias}` }))];
    cells.key = alias;
    return cells;
  })));
}

function flags() {
  if (!world.flags) return [];
  const flip = name => async on => {
    await api('PUT', '/api/settings/feature-flags', { [name]: on });
    await reload();
  };
  return card('flags', 'Features', Object.entries(world.flags).filter(([, on]) => typeof on === 'boolean').map(([name, on]) => h('div', { class: 'row', key: name },
    toggle(`flag ${name}`, { on, label: `${name} panel`, look: 'switch', flip: flip(name) }), h('span', {}, h('b', {}, name), h('span', { class: 'sub' }, ': a panel to read from; it has no say in who serves')))));
}

const said = value => (value == null ? '–' : typeof value === 'object' ? JSON.stringify(value) : String(value));

function log(audit) {
  return card('audit', 'Who changed what', missing(audit) ?? (audit.entries.length ? table('Audit log', ['When', 'Who', 'What', 'Of', 'Before', 'After'], audit.entries.map(entry =>
    [day(entry.at), entry.actor, entry.action, said(entry.target), said(entry.before), [said(entry.after), entry.reason && ` (${entry.reason})`]])) : h('p', { class: 'mute' }, 'Nothing yet.')));
}
