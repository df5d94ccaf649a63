// What every file of tests has: one world, one Chromium, and the promise that no page broke the policy or threw.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { launch, open } from './browser.mjs';
import { TOP, World } from './world.mjs';

/** Where pictures of pages lie whose test failed. */
const LEFT = join(TOP, 'target', 'web');

/** `prepare` is done once, before the first test, when the world is there. */
export function suite(options, prepare = async () => {}) {
  const made = { pages: [] };
  before(async () => {
    // One after the other: a browser that starts beside a world that fails would never be closed, and the run never end.
    made.world = await World.start(options);
    made.browser = await launch();
    await prepare(made.world);
  });
  after(async () => {
    await made.browser?.close();
    await made.world?.stop();
    assert.deepEqual(made.pages.flatMap(page => page.faults), [], 'policy violations and errors of the page');
  });
  /** Does `work` with a page of its own. */
  made.visit = async (path, work, how = {}) => {
    const page = await open(made.browser, made.world, { path, ...how });
    made.pages.push(page);
    try {
      return await work(page);
    } catch (error) {
      const shot = join(LEFT, `${Date.now()}.png`);
      await page.screenshot({ path: shot, fullPage: true }).catch(() => {});
      error.message += `\nthe page: ${shot}\n${page.faults.join('\n')}`;
      throw error;
    } finally {
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await page.context().close();
    }
  };
  return made;
}

/** Resolves when `text` is what `locator` shows. */
export async function shows(locator, pattern) {
  await locator.filter({ hasText: pattern }).first().waitFor();
}
