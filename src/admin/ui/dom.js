// Nodes: one builder, and one way to bring what is shown up to date. Text stays text: nothing here reads markup.
import { shown } from './privacy.js';

const SVG = 'http://www.w3.org/2000/svg';
const DRAWN = new Set(['svg', 'g', 'rect', 'line', 'polyline', 'circle', 'text', 'title', 'desc']);
const HANDLERS = ['onclick', 'onchange', 'oninput', 'onsubmit', 'ontoggle'];
const READ_OUT = new Set(['title', 'aria-label', 'placeholder']);

/** An element. `on…` are handlers, `key` tells siblings apart, `value` and `checked` are properties, the rest attributes. */
export function h(tag, props, ...kids) {
  const el = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  el.append(...nodes(kids));
  el.given = {};
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === 'key') el.key = value == null ? undefined : String(value);
    else if (name.startsWith('on')) el[name] = value;
    else if (name === 'value' || name === 'checked') el[name] = el.given[name] = value;
    else if (value === true) el.setAttribute(name, '');
    else if (value !== false && value != null) el.setAttribute(name, READ_OUT.has(name) ? shown(String(value)) : value);
  }
  if (['text', 'textarea'].includes(el.type) && shown(el.value) !== el.value) el.dataset.private = '';
  return el;
}

/** Makes `parent` hold `kids`, keeping every node that is alike, and with it focus, scroll and what is being typed. */
export function patch(parent, ...kids) {
  const fresh = nodes(kids);
  const wanted = new Set(fresh.map(node => node.key));
  const old = new Map([...parent.childNodes].filter(node => node.key != null).map(node => [node.key, node]));
  let at = parent.firstChild;
  for (const node of fresh) {
    while (at?.key != null && !wanted.has(at.key)) at = dropped(at);
    const known = node.key == null ? null : old.get(node.key);
    if (known && known !== at) {
      parent.insertBefore(known, at);
      at = known;
    }
    if (at && at.nodeName === node.nodeName && at.key === node.key) {
      const next = at.nextSibling;
      adopt(at, node);
      at = next;
    } else {
      parent.insertBefore(node, at);
    }
  }
  while (at) at = dropped(at);
  return parent;
}

function dropped(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function adopt(el, fresh) {
  if (el === fresh) return;
  if (el.nodeType === Node.TEXT_NODE) {
    if (el.data !== fresh.data) el.data = fresh.data;
    return;
  }
  // Whether something is unfolded is the reader's business.
  for (const { name } of [...el.attributes]) if (!fresh.hasAttribute(name) && name !== 'open') el.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (el.getAttribute(name) !== value) el.setAttribute(name, value);
  for (const name of HANDLERS) el[name] = fresh[name];
  patch(el, ...fresh.childNodes);
  el.given = fresh.given;
  for (const [name, value] of Object.entries(fresh.given ?? {})) if (el[name] !== value) el[name] = value;
}

function nodes(kids) {
  const some = kids.flat(Infinity).filter(kid => kid != null && kid !== false);
  return some.map(kid => (kid instanceof Node ? kid : document.createTextNode(shown(String(kid)))));
}

/** A link to another page, if it is one: a provider's text could be any scheme. */
export function link(url, text) {
  const fine = URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol);
  return fine ? h('a', { href: url, target: '_blank', rel: 'noreferrer' }, text ?? url) : h('code', {}, url);
}

/** In place of what is not there (null), has not come yet (undefined), or could not (an error); null where it has. */
export function missing(what) {
  if (what instanceof Error) return h('p', { class: 'bad', role: 'alert' }, what.message);
  return what == null ? h('p', { class: 'mute' }, what === undefined ? 'Loading…' : 'Not available.') : null;
}

/** A card with a heading. */
export function card(id, title, ...kids) {
  return h('section', { class: 'card', 'aria-labelledby': `${id}-h`, id }, h('h2', { id: `${id}-h` }, title), kids);
}

/** A table that scrolls in itself. `rows` are arrays of cells, the first being the row's header. On a phone each row is a block
 * with the heads beside its cells; so the roles are said, which a block would not have. */
export function table(label, heads, rows) {
  const row = cells => h('tr', { key: cells.key, role: 'row' }, cells.map((cell, i) =>
    (i ? h('td', { role: 'cell', 'data-head': heads[i] }, h('div', {}, cell)) : h('th', { role: 'rowheader', scope: 'row' }, cell))));
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, h('table', { role: 'table' },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads.map(head => h('th', { role: 'columnheader', scope: 'col' }, head)))),
    h('tbody', { role: 'rowgroup' }, rows.map(row))));
}

/** A text in which `commands` stand between backquotes. */
export const prose = text => text.split('`').map((part, i) => (i % 2 ? h('code', {}, part) : part));

/** A labelled control. */
export function field(label, control, note) {
  control.id ||= `f-${label.toLowerCase().replace(/\W+/g, '-')}`;
  if (note) control.setAttribute('aria-describedby', `${control.id}-note`);
  return h('div', { class: 'field' }, h('label', { for: control.id }, label), control, note && h('small', { id: `${control.id}-note` }, note));
}

/** A choice of `[value, words]`. */
export const choice = (props, options) =>
  h('select', props, options.map(([value, words]) => h('option', { value, selected: value === props.value }, words)));
