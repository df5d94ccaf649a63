// How figures and states are said: tables.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beside, countdown, ending, fits, millis, percent, span, story, tone, trust } from '../../../src/admin/ui/words.js';
import { mask } from '../../../src/admin/ui/privacy.js';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const ago = minutes => new Date(NOW - minutes * 60e3).toISOString();

test('spans of time', () => {
  const said = [[0, '0 s'], [-5, '0 s'], [59_400, '59 s'], [60e3, '1 min'], [3599e3, '59 min'], [3600e3, '1 h 00 min'], [86_399e3, '23 h 59 min'], [86_400e3, '1 d'], [30 * 86_400e3, '30 d']];
  for (const [ms, words] of said) assert.equal(span(ms), words);
  for (const [ms, words] of [[65e3, '1:05'], [0, '0:00'], [-1, '0:00'], [599_001, '10:00']]) assert.equal(countdown(ms), words);
});

test('a time beside now', () => {
  assert.equal(beside(ago(3), 'beside', NOW), '3 min ago');
  assert.equal(beside(ago(-72), 'beside', NOW), 'in 1 h 12 min');
  assert.equal(beside(ago(-1), 'count', NOW), '1:00');
  assert.equal(beside(ago(1), 'left', NOW), 'no time');
});

test('figures', () => {
  for (const [ms, words] of [[null, '–'], [0.42, '0.4 ms'], [12.6, '13 ms'], [1310, '1.3 s']]) assert.equal(millis(ms), words);
  assert.equal(percent(99.94, 2), '99.94 %');
  assert.equal(percent(41.2), '41 %');
  assert.deepEqual([0, 10, 11, 30, 31, 100].map(tone), ['bad', 'bad', 'warn', 'warn', 'ok', 'ok']);
});

test('limits are fresh, stale, failed or unknown, and unknown is never a number', () => {
  const limits = (limitsConfidence, rest) => ({ limitsConfidence, windows: [{ window: '5h', remainingPercent: 18 }], lastLimitProbeAt: ago(23), limitError: null, ...rest });
  assert.deepEqual(trust(limits('fresh'), NOW), { known: true, mark: '', note: '', title: 'seen 23 min ago' });
  assert.deepEqual(trust(limits('stale'), NOW), { known: true, mark: '⚠', note: 'stale, 23 min old', title: 'seen 23 min ago' });
  assert.deepEqual(trust(limits('error', { limitError: '503' }), NOW), { known: true, mark: '✕', note: 'error, 23 min old', title: 'the last try to learn it failed: 503' });
  for (const rest of [{}, { windows: [], lastLimitProbeAt: null }, { limitError: '401', lastLimitProbeAt: null }]) {
    const said = trust(limits('unknown', rest), NOW);
    assert.equal(said.known, false);
    assert.equal(said.note, 'unknown');
    assert.equal(said.mark, rest.limitError ? '✕' : '?');
  }
  assert.equal(trust(limits('fresh', { windows: [] }), NOW).known, false, 'an answer without windows is not 0 %');
});

const decision = rest => ({ requestId: '3f9c21', path: '/v1/responses', provider: 'p', model: 'm', outcome: 'served', status: 200, selectedAlias: 'home', why: 'rotated', refusal: null,
  attempts: [{ alias: 'team', why: 'session', status: 429, reason: 'quota-exhausted', verdict: 'quota-window' }, { alias: 'home', why: 'rotated', status: 200, reason: null, verdict: 'pass' }], ...rest });

test('a decision in words', () => {
  assert.deepEqual(ending(decision()), ['ok', '200 served by home']);
  assert.deepEqual(ending(decision({ outcome: 'refused', status: 429, refusal: 'ALL_ACCOUNTS_EXHAUSTED' })), ['bad', '429 refused, ALL_ACCOUNTS_EXHAUSTED']);
  assert.equal(story(decision()), 'team: 429 quota-exhausted → home: its turn');
  assert.equal(story(decision({ attempts: [], refusal: 'NO_ROUTE' })), 'NO_ROUTE');
});

test('what somebody looks for', () => {
  for (const [text, outcome, found] of [['', '', true], ['TEAM', '', true], ['quota', 'served', true], ['429', '', false], ['team', 'refused', false], ['3f9', '', true], ['nobody', '', false]]) {
    assert.equal(fits(decision(), { text, outcome }), found, text);
  }
});

test('e-mail addresses are masked wherever they stand', () => {
  for (const [text, masked] of [['ana@studio.example', 'a•••@s•••'], ['from <ana.b+x@a-b.example>, now', 'from <a•••@a•••>, now'], ['no address here @ all', 'no address here @ all'], ['a@b.c and d@e.f', 'a•••@b••• and d•••@e•••']]) {
    assert.equal(mask(text), masked);
  }
});
