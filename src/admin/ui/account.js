// One account: its switch, its login, what is left, and what people call it.
import { button, form, sure } from './act.js';
import { account as path, api } from './api.js';
import { enabledSwitch, probe, probing, stateOf, tokenOf, who } from './accounts.js';
import { limitLines } from './chart.js';
import { card, field, h, missing, table } from './dom.js';
import { keep, reload } from './live.js';
import { meters } from './limits.js';
import { signInAgain } from './signin.js';
import { changed, named, region, when, world } from './world.js';

const EVERY = 15_000;

export function accountView(main, alias) {
  let detail;
  let draft = null;
  const drawn = region(main, ['status', 'jobs', 'detail'], () => {
    const account = named(alias);
    if (!world.status) return missing();
    if (!account) return [h('h1', {}, alias), card('gone', `There is no account ${alias}`, h('p', {}, 'It was removed or renamed. ', h('a', { href: '#/' }, 'All accounts')))];
    return parts(account, detail, (draft ??= drafted(account)), fresh => (draft = fresh));
  });
  keep(drawn, path(alias), 'limits', EVERY, answer => {
    detail = answer instanceof Error ? null : answer;
    changed('detail');
  });
}

const drafted = ({ alias, weight, tags, notes, quotaGroup }) =>
  ({ alias, weight: String(weight), tags: tags.join(', '), notes, quotaGroup: quotaGroup ?? '' });

function parts(account, detail, draft, redraft) {
  const { alias, provider, credential, health, limits, inFlight, lastUsedAt } = account;
  const models = Object.entries(health.models);
  return [
    h('h1', {}, alias),
    card('state', 'In rotation', h('div', { class: 'row' }, enabledSwitch(account), stateOf(account)),
      h('dl', { class: 'facts' }, fact('Provider', provider), fact('Under way', `${inFlight} requests`), fact('Used last', lastUsedAt ? when(lastUsedAt) : 'not since the start'),
        fact('Strikes', health.strikes)),
      health.cooldown && h('p', { class: 'warn', id: 'cooldown' }, `Cooling down: ${health.cooldown.why}, told by ${health.cooldown.source}, since `, when(health.cooldown.since), ', back ', when(health.cooldown.until), '.'),
      models.length > 0 && table('Models that rest', ['Model', 'Why', 'Until'], models.map(([model, { why, until }]) => [model, why, when(until)]))),
    card('login', 'Login', h('dl', { class: 'facts' }, fact('Who', who(credential) || 'not told'), fact('Kind', credential.kind ?? 'none'), fact('Token', tokenOf(credential)),
      credential.renewalFailures > 0 && fact('Renewal', h('span', { class: 'warn' }, `failed ${credential.renewalFailures} times`))),
    credential.renewsItself && h('div', { class: 'row' }, button(`renew ${alias}`, 'Renew the token now', async () => {
      await api('POST', path(alias, '/refresh'));
      await reload();
    })), signInAgain(account)),
    card('limits', 'Left', meters(limits),
      limits.limitError && h('p', { class: 'sub' }, 'The last try to learn it failed ', limits.lastLimitErrorAt && when(limits.lastLimitErrorAt), `: ${limits.limitError}`),
      h('p', { class: 'sub' }, limits.lastLimitProbeAt ? ['Seen ', when(limits.lastLimitProbeAt)] : 'Never seen.'),
      h('div', { class: 'row' }, button(`probe ${alias}`, 'Probe now', () => probe([alias]), { disabled: probing(account) }), probing(account) && h('span', { class: 'sub', role: 'status' }, `${limits.refresh}…`))),
    card('history', 'Left, over time', detail ? limitLines(detail.history) : missing(detail)),
    settings(account, draft, redraft),
    card('removal', 'Remove', h('p', { class: 'sub' }, 'The account and its credential go; other programs’ logins are not touched.'), button(`remove ${alias}`, 'Remove this account', () => remove(account), { class: 'danger' })),
  ];
}

const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));

function settings({ alias }, draft, redraft) {
  const text = (name, label, note) => field(label, h('input', { type: 'text', name, autocomplete: 'off', value: draft[name], oninput: event => (draft[name] = event.target.value) }), note);
  const save = async () => {
    const weight = Number(draft.weight);
    if (!(weight > 0 && weight <= 1)) throw new Error('weight: above 0, at most 1');
    const changes = { weight, tags: draft.tags.split(',').map(tag => tag.trim()).filter(Boolean), notes: draft.notes, quotaGroup: draft.quotaGroup.trim() || null };
    if (draft.alias !== alias) changes.alias = draft.alias.trim();
    const view = await api('PATCH', path(alias), changes);
    redraft(drafted(view));
    await reload();
    if (view.alias !== alias) location.hash = `#/accounts/${encodeURIComponent(view.alias)}`;
  };
  return card('settings', 'Settings', form(`settings ${alias}`, 'Save', save, text('alias', 'Name', 'Sessions and history stay with it.'), text('weight', 'Weight', 'Above 0, at most 1: its part of the rotation where that is weighted.'),
    text('tags', 'Tags', 'Separated by commas.'), text('quotaGroup', 'Quota group', 'Accounts that share one quota have the same.'),
    field('Notes', h('textarea', { rows: 3, value: draft.notes, oninput: event => (draft.notes = event.target.value) }))));
}

async function remove({ alias, provider }) {
  if (!(await sure(`Remove ${alias}?`, 'Its credential is deleted and cannot be brought back.', 'Remove it'))) return;
  const force = error => {
    if (error.code !== 'LAST_ENABLED') throw error;
    return sure(`Remove ${alias} all the same?`, `It is the last enabled account of ${provider}: requests will be refused.`, 'Remove it')
      .then(yes => yes && api('DELETE', path(alias), { force: true }));
  };
  if ((await api('DELETE', path(alias)).catch(force)) === false) return;
  await reload();
  location.hash = '#/';
}
