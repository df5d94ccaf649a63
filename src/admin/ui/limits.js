// How much is left, and how far that can be trusted. Unknown is a word; it is never drawn as 0 %.
import { h } from './dom.js';
import { percent, tone, trust, windowName } from './words.js';
import { now, when } from './world.js';

const WIDE = 90;

/** One account's windows. */
export function meters(limits) {
  const seen = trust(limits, now());
  if (!seen.known) return h('span', { class: 'pill mute', 'data-confidence': limits.limitsConfidence, title: seen.title }, `${seen.mark || '?'} ${seen.note || 'unknown'}`);
  return h('div', { class: 'meters', 'data-confidence': limits.limitsConfidence },
    limits.windows.map(window => meter(window, seen)),
    seen.note && h('div', { class: 'sub warn badge', title: seen.title }, `${seen.mark} ${seen.note}`));
}

function meter({ window, remainingPercent: left, resetsAt }, { mark }) {
  // What was seen is not of this filling of the window.
  if (resetsAt && Date.parse(resetsAt) <= now()) return h('div', { class: 'meter sub' }, `${windowName(window)}: unknown, reset `, when(resetsAt));
  const said = `${windowName(window)}: ${percent(left)} left`;
  return h('div', { class: 'meter' },
    h('span', { class: 'sub' }, windowName(window)),
    h('svg', { width: WIDE, height: 8, role: 'img', 'aria-label': said },
      h('rect', { class: 'rail', width: WIDE, height: 8, rx: 4 }),
      h('rect', { class: `fill ${tone(left)} ${mark ? 'old' : ''}`, width: (WIDE * left) / 100, height: 8, rx: 4 })),
    h('b', {}, percent(left)),
    resetsAt && h('span', { class: 'sub' }, 'resets ', when(resetsAt)));
}
