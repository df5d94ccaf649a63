// What charts draw, worked out before anything is drawn.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ceiling, MOST_NAMES, parts, points, ranked } from '../../../src/admin/ui/chart.js';

const at = hour => new Date(Date.UTC(2026, 10, 20, hour)).toISOString();

test('the busiest accounts have a colour each, and the rest is added up', () => {
  const byAccount = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`a${i}`, 10 - i]));
  const names = ranked([{ at: at(1), byAccount }, { at: at(2), byAccount: { a9: 1 } }]);
  assert.equal(names.length, MOST_NAMES + 1);
  assert.deepEqual(names[0], { name: 'a0', sum: 10 });
  assert.deepEqual(names.at(-1), { name: 'all others', sum: 7 });
  const own = parts(byAccount, names);
  assert.deepEqual(own, [10, 9, 8, 7, 6, 5, 4, 6]);
  assert.equal(own.reduce((a, b) => a + b), Object.values(byAccount).reduce((a, b) => a + b), 'nothing is lost');
});

test('nothing is nothing', () => {
  assert.deepEqual(ranked([]), []);
  assert.deepEqual(ranked([{ at: at(1), byAccount: {} }]), []);
  assert.deepEqual(parts({}, [{ name: 'a' }]), [0]);
  assert.deepEqual(parts({}, [{ name: 'constructor' }, { name: 'others' }]), [0, 0], 'whatever an account is called');
});

test('the top of a scale is round and not below what it shows', () => {
  for (const [n, top] of [[0, 4], [3, 4], [5, 5], [6, 10], [11, 20], [171, 200], [4001, 5000], [99_999, 100_000]]) assert.equal(ceiling(n), top);
});

test('samples without the window are left out, not drawn as 0', () => {
  const from = Date.parse(at(0)), to = Date.parse(at(2));
  const samples = [{ at: at(0), windows: [{ window: '5h', remainingPercent: 100 }] }, { at: at(1), windows: [] }, { at: at(2), windows: [{ window: '5h', remainingPercent: 0 }] }];
  const drawn = points(samples, '5h', from, to);
  assert.equal(drawn.length, 2);
  assert.equal(drawn[0][1], 0, '100 % is at the top');
  assert.ok(drawn[1][1] > drawn[0][1] && drawn[1][0] > drawn[0][0]);
  assert.deepEqual(points(samples, 'weekly', from, to), []);
});
