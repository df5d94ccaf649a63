// Force: one account for everything, for a day. An overlay of its own, not one of the switches.
import { button, toggle } from './act.js';
import { api } from './api.js';
import { card, choice, field, h } from './dom.js';
import { reload } from './live.js';
import { accounts, changed, now, region, when, world } from './world.js';

let chosen;
// When the last end of a force was that a person has seen.
let read;

/** The force that is on, as far as this page knows: one that has run out is off, whatever was heard last. */
function force() {
  const { force: on } = world.status ?? {};
  return on && Date.parse(on.until) > now() ? on : null;
}

async function flip(on) {
  if (on) await api('POST', '/api/force', { alias: chosen });
  else await api('POST', '/api/force/clear');
  await reload();
}

/** Over every view, while a force is on, and after one has ended because its account could not serve. */
export function banner() {
  const on = force();
  if (!on) return ended();
  return [h('div', { class: 'alarm row', id: 'force-banner', role: 'status' }, h('span', { class: 'warn', 'aria-hidden': 'true' }, '◆'),
    h('span', {}, h('b', {}, `Forced to ${on.alias}`), ' for ', when(on.until, 'left'), ` more, then back to ${world.status.strategy}.`),
    h('span', { class: 'grow' }),
    button('force', 'Clear force', () => flip(false)))];
}

function ended() {
  const { forceEnded: last, strategy } = world.status ?? {};
  if (!last || last.at === read) return [];
  const seen = () => {
    read = last.at;
    changed('status');
  };
  return [h('div', { class: 'alarm row', id: 'force-ended', role: 'status' }, h('span', {}, h('b', {}, `The force on ${last.alias} ended `), when(last.at), `: ${last.reason}. ${strategy} decides again.`),
    h('span', { class: 'grow' }), h('button', { type: 'button', onclick: seen }, 'Seen'))];
}

/** The control. */
export function forceCard() {
  return region(card('force', 'Force'), ['status'], () => {
    const on = force();
    const names = accounts().map(account => account.alias);
    if (!names.includes(chosen)) chosen = names[0];
    const pick = event => {
      chosen = event.target.value;
      changed('status');
    };
    return [h('h2', { id: 'force-h' }, 'Force'),
      h('p', { class: 'sub' }, 'One account takes everything for 24 hours, over the strategy and the sessions. The switches stay as they are.'),
      h('div', { class: 'row' },
        on ? h('span', {}, h('b', {}, on.alias), ', ', when(on.until, 'left'), ' left')
          : field('Account', choice({ id: 'force-alias', value: chosen, onchange: pick, disabled: !names.length }, names.map(name => [name, name]))),
        toggle('force', { on: Boolean(on), label: on ? `Force ${on.alias}` : `Force ${chosen ?? 'an account'}`, look: 'force', off: !names.length, flip }))];
  });
}

// One that runs out is shown so at once, without a word from the server.
let wasOn = false;
setInterval(() => {
  const isOn = Boolean(force());
  if (wasOn && !isOn) {
    changed('status');
    reload().catch(() => {});
  }
  wasOn = isOn;
}, 1000);
