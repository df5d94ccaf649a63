// A new account: sign in, take over another program's login, or give a key.
import { button, form } from './act.js';
import { api, getIfThere } from './api.js';
import { card, choice, field, h, missing } from './dom.js';
import { reload } from './live.js';
import { asked, begin, jobOf, jobView, ways } from './signin.js';
import { changed, named, region } from './world.js';

const WAYS = [['sign-in', 'Sign in'], ['import', 'Take over a login of another program'], ['key', 'Give an API key']];
const draft = { way: 'sign-in', alias: '', provider: '', secret: '', kind: 'api-key', from: '', path: '', as: '', passphrase: '' };
let offered;
let imported = null;

export function addView(main) {
  imported = null;
  main.append(h('h1', {}, 'Add account'), region(h('div', { class: 'view' }), ['add', 'jobs', 'status'], () => [
    h('fieldset', { class: 'row' }, h('legend', {}, 'How'), WAYS.map(([value, words]) => h('label', {}, h('input', { type: 'radio', name: 'way', value, checked: draft.way === value, onchange: () => set('way', value) }), ` ${words}`))),
    offered === undefined ? missing() : { 'sign-in': signIn, import: takeOver, key }[draft.way](),
  ]));
  // Where it cannot be told what there is, it can be typed.
  getIfThere('/api/providers').catch(() => offered ?? null).then(answer => {
    offered = answer;
    changed('add');
  });
}

function set(name, value) {
  draft[name] = value;
  changed('add');
}

const text = (name, label, note, type = 'text') =>
  field(label, h('input', { type, name, autocomplete: 'off', spellcheck: 'false', value: draft[name], oninput: event => (draft[name] = event.target.value) }), note);
const nameField = () => text('alias', 'Name', '1 to 64 of a-z 0-9 . _ -');

function provider(fits) {
  const some = offered?.providers.filter(fits) ?? [];
  if (!offered) return text('provider', 'Provider', 'its id');
  if (!some.some(one => one.id === draft.provider)) draft.provider = some[0]?.id ?? '';
  return field('Provider', choice({ name: 'provider', value: draft.provider, onchange: event => set('provider', event.target.value) }, some.map(({ id, name }) => [id, name])));
}

const added = alias => named(alias) && h('p', { class: 'ok', role: 'status' }, '✔ ', h('a', { href: `#/accounts/${encodeURIComponent(alias)}` }, alias), ' is in the pool.');

function signIn() {
  const { alias } = draft;
  const job = jobOf(alias, named(alias)?.reauth);
  const flows = offered?.providers.find(one => one.id === draft.provider)?.flows;
  // What is in the field when it is sent, not when the form was drawn.
  const start = () => begin(draft.alias.trim(), asked('', { alias: draft.alias.trim(), provider: draft.provider }));
  return card('sign-in', 'Sign in', job && jobView(alias, job), job?.shown === 'success' && added(alias),
    job?.shown !== 'in-progress' && form('add by sign-in', 'Sign in', start, nameField(), provider(one => one.flows.length), ways('', flows)));
}

function key() {
  const add = async () => {
    await api('POST', '/api/accounts', { alias: draft.alias.trim(), provider: draft.provider, secret: draft.secret.trim(), kind: draft.kind });
    draft.secret = '';
    await reload();
  };
  const kinds = offered?.providers.find(one => one.id === draft.provider)?.kinds.filter(kind => kind !== 'oauth') ?? ['api-key', 'bearer'];
  if (!kinds.includes(draft.kind)) draft.kind = kinds[0];
  return card('key', 'API key', form('add by key', 'Add', add, nameField(), provider(one => one.kinds.some(kind => kind !== 'oauth')),
    field('Kind', choice({ name: 'kind', value: draft.kind, onchange: event => set('kind', event.target.value) }, kinds.map(kind => [kind, kind]))),
    text('secret', 'Key', 'Kept by rota; no page and no answer shows it again.', 'password')), added(draft.alias.trim()));
}

function takeOver() {
  const ask = async dryRun => {
    const body = { from: draft.from, dryRun };
    for (const name of ['path', 'as', 'passphrase']) if (draft[name].trim()) body[name] = draft[name].trim();
    imported = null;
    imported = await api('POST', '/api/import', body);
    draft.passphrase = '';
    if (!dryRun) await reload();
  };
  const programs = offered?.programs ?? [];
  if (programs.length && !programs.some(({ id }) => id === draft.from)) draft.from = programs[0].id;
  const from = programs.length ? field('Program', choice({ name: 'from', value: draft.from, onchange: event => set('from', event.target.value) }, programs.map(({ id, name }) => [id, name]))) : text('from', 'Program');
  return card('import', 'Take over a login', h('p', { class: 'warn' }, 'A login has one owner: two programs that renew it sign each other out.'),
    form('add by import', 'Take it over', () => ask(false), from, text('as', 'Name', 'where there is one login'), text('path', 'File', 'where the program keeps it, unless told'), text('passphrase', 'Passphrase', 'if the file is encrypted', 'password')),
    h('div', { class: 'row' }, button('look', 'Only look', () => ask(true))), imported && outcome(imported));
}

function outcome({ added: some, skipped, warning, dryRun }) {
  return h('div', { role: 'status' }, h('ul', {},
    some.map(({ alias, provider: of, email }) => h('li', {}, h('span', { class: 'ok' }, dryRun ? 'would be added: ' : '✔ added: '), `${alias} (${[of, email].filter(Boolean).join(', ')})`)),
    skipped.map(({ name, reason }) => h('li', { class: 'mute' }, `${name}: ${reason}`))), warning && h('p', { class: 'warn' }, warning));
}
