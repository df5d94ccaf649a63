// What a person does: one request at a time for each control, and what went wrong said beside it.
import { h } from './dom.js';
import { changed } from './world.js';

// By control: 'updating', or the error of the last try.
const under = new Map();

/** Does `work` for the control `key`, unless that is under way. Resolves to whether it succeeded. */
export async function act(key, work) {
  if (under.get(key) === 'updating') return false;
  under.set(key, 'updating');
  changed('*');
  try {
    await work();
    under.delete(key);
    return true;
  } catch (error) {
    under.set(key, error);
    return false;
  } finally {
    changed('*');
  }
}

export const busy = key => under.get(key) === 'updating';
export const failure = key => (under.get(key) instanceof Error ? under.get(key) : null);
/** What was said on a page is forgotten with the page. */
export const forget = () => under.forEach((what, key) => what === 'updating' || under.delete(key));

/** What went wrong, in place. */
export const trouble = key => failure(key) && h('span', { class: 'bad said', role: 'alert' }, failure(key).message);

/** A button that is off while its work is under way. */
export function button(key, label, work, props = {}) {
  const off = busy(key) || props.disabled;
  return [
    h('button', { type: 'button', ...props, disabled: off, 'aria-busy': busy(key) ? 'true' : null, onclick: () => act(key, work) }, label),
    trouble(key),
  ];
}

/** A form whose button is off while it is being sent. */
export function form(key, label, work, ...fields) {
  const submit = event => {
    event.preventDefault();
    act(key, work);
  };
  return h('form', { onsubmit: submit, novalidate: true }, fields,
    h('div', { class: 'row' }, h('button', { class: 'primary', disabled: busy(key), 'aria-busy': busy(key) ? 'true' : null }, label), trouble(key)));
}

/** A control of two states that shows four: off, on, updating, error. `look` is its class. */
export function toggle(key, { on, label, look, off, flip }) {
  const state = busy(key) ? 'updating' : failure(key) ? 'error' : on ? 'on' : 'off';
  const role = look === 'switch' ? { role: 'switch', 'aria-checked': String(on) } : { 'aria-pressed': String(on) };
  return [
    h('button', {
      type: 'button', class: look, ...role, 'data-state': state, 'aria-label': look === 'switch' ? label : `${label}: ${state}`, title: `${label}: ${state}`,
      // Not `disabled`, which would take the focus away in the middle of a press.
      'aria-busy': busy(key) ? 'true' : null, 'aria-disabled': busy(key) || off ? 'true' : null,
      onclick: () => off || act(key, () => flip(!on)),
    }, look === 'switch' ? null : state),
    trouble(key),
  ];
}

/** Asks whether it is meant. */
export function sure(question, explanation, yes) {
  return new Promise(resolve => {
    const done = answer => () => {
      resolve(answer);
      // Closed first: that gives the focus back.
      box.close();
      box.remove();
    };
    const box = h('dialog', { 'aria-labelledby': 'sure-h' }, h('h2', { id: 'sure-h' }, question), h('p', {}, explanation),
      h('div', { class: 'row' }, h('button', { type: 'button', class: 'danger', onclick: done(true) }, yes),
        h('button', { type: 'button', autofocus: true, onclick: done(false) }, 'Cancel')));
    box.addEventListener('close', done(false));
    document.body.append(box);
    box.showModal();
  });
}
