// Real Chromium, and the page in it with the token that `rota dashboard` would hand over.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { TOP } from './world.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const PROGRAMS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const SWITCHES = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--no-default-browser-check', '--disable-dev-shm-usage'];
export const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 360, height: 780 };
/** For whatever a busy machine takes its time for. */
export const PATIENCE = Number(process.env.ROTA_WEB_PATIENCE ?? 60_000);

export const launch = () => launchWith([]);

/** The same with switches of its own. */
export async function launchWith(more) {
  const executablePath = PROGRAMS.find(program => program && existsSync(program));
  if (!executablePath) throw new Error('there is no Chromium; on Debian: apt-get install chromium, or name it in CHROMIUM');
  return chromium.launch({ executablePath, args: [...SWITCHES, ...more] });
}

/** The page, opened at `path` with the token in the tab. What went wrong in it is in `page.faults`. */
export async function open(browser, world, { path = '', token = world.token, viewport = WIDE, colorScheme = 'light', permissions = [], before } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce', locale: 'en-GB', permissions });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.faults = [];
  page.on('pageerror', error => page.faults.push(`error: ${error.message}`));
  page.on('console', message => /Content Security Policy|Trusted/i.test(message.text()) && page.faults.push(`policy: ${message.text()}`));
  await page.addInitScript(() => addEventListener('securitypolicyviolation', event => console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`)));
  // As the handover leaves it; in this tab only.
  if (token) await page.addInitScript(text => sessionStorage.getItem('rota.token') ?? sessionStorage.setItem('rota.token', text), token);
  if (process.env.ROTA_UI === 'disk') await fromDisk(page);
  await before?.(page);
  await page.goto(`${world.admin}/${path}`);
  return page;
}

/** The files as they are in the tree, so that one need not build rota for each change of theirs. */
async function fromDisk(page) {
  await page.route(url => url.pathname === '/' || url.pathname.startsWith('/ui/'), async route => {
    const name = new URL(route.request().url()).pathname.replace(/^\/(ui\/)?/, '') || 'index.html';
    const reply = await route.fetch();
    const kinds = { js: 'text/javascript', css: 'text/css', html: 'text/html', svg: 'image/svg+xml' };
    const { 'content-encoding': _, 'content-length': __, ...headers } = reply.headers();
    await route.fulfill({ status: 200, headers: { ...headers, 'content-type': kinds[name.split('.').pop()] }, body: readFileSync(join(TOP, 'src/admin/ui', name)) });
  });
}

/** What axe finds, as lines. */
export async function axe(page) {
  await page.evaluate(readFileSync(AXE, 'utf8'));
  const { violations } = await page.evaluate(rules => window.axe.run(document, { runOnly: rules, resultTypes: ['violations'] }), RULES);
  return violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.target} ${node.failureSummary}`));
}

/** How far the page itself scrolls sideways. */
export const sideways = page => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
