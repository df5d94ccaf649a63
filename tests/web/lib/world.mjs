// A world for one test: a fake upstream with a few accounts, a real `rota serve` before it, a home of their own.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const TOP = fileURLToPath(new URL('../../../', import.meta.url));
const BINARIES = process.env.ROTA_BIN ?? join(TOP, 'target', 'debug');
const START_MS = 60_000;
const run = promisify(execFile);

/** Waits until `probe` gives something true, and gives it. */
export async function until(what, probe, ms = START_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`this did not come within ${ms} ms: ${what}`);
    await new Promise(done => setTimeout(done, 20));
  }
}

export class World {
  /** `accounts`: alias to provider. They are added over the admin API, each with a key or login of its own. `env`: what rota finds
   * in its environment besides. */
  static async start({ accounts = {}, settings = '', script = {}, env = {} } = {}) {
    const world = new World();
    world.own = env;
    world.home = await mkdtemp(join(tmpdir(), 'rota-web-'));
    world.programs = [];
    try {
      await world.#fake(accounts, script);
      await world.#configure(settings);
      await world.serve();
      for (const [alias, provider] of Object.entries(accounts)) await world.add(alias, provider);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  env() {
    const inside = name => join(this.home, name);
    return {
      PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: this.home, TMPDIR: inside('tmp'), XDG_CONFIG_HOME: inside('config'),
      XDG_STATE_HOME: inside('state'), XDG_CACHE_HOME: inside('cache'), XDG_RUNTIME_DIR: inside('runtime'), ...this.own,
    };
  }

  /** Starts rota, where it was before if it ran before. */
  async serve() {
    const info = join(this.home, 'server.json');
    await rm(info, { force: true });
    const rota = this.#spawn('rota', ['serve', '--server-info', info]);
    const { proxy, admin } = await this.#told(rota, info);
    this.proxy = `http://${proxy}`;
    this.admin = `http://${admin}`;
    this.token = readFileSync(join(this.home, 'state', 'rota', 'admin-token'), 'utf8').trim();
    this.rota = rota;
    // From now on it is found where it is.
    await this.#configure(this.settings, proxy, admin);
  }

  async stopRota() {
    await end(this.rota);
  }

  async stop() {
    await Promise.all((this.programs ?? []).map(end));
    await rm(this.home, { recursive: true, force: true });
  }

  /** The admin API, as the command line asks it. */
  async api(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' };
    const reply = await fetch(this.admin + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await reply.text();
    return { status: reply.status, body: text ? JSON.parse(text) : null };
  }

  /** A command, as a person types it in another terminal. */
  async command(...args) {
    const { stdout } = await run(join(BINARIES, 'rota'), args, { env: this.env(), timeout: START_MS });
    return stdout;
  }

  async add(alias, provider) {
    const login = provider === 'codex';
    const day = new Date(Date.now() + 6 * 86_400e3).toISOString();
    const body = login ? { alias, provider, credential: { kind: 'oauth', accessToken: key(alias), refreshToken: `refresh-${alias}`, accountId: `org-${alias}`, expiresAt: day } }
      : { alias, provider, secret: key(alias) };
    const { status, body: answer } = await this.api('POST', '/api/accounts', body);
    if (status !== 201) throw new Error(`${alias} was not added: ${JSON.stringify(answer)}`);
  }

  /** An account that somebody signs in to by a code, as `who` of the fake. */
  async signIn(alias, provider, who) {
    const { body: job } = await this.api('POST', '/api/login', { alias, provider, flow: 'device' });
    await this.tell('device', { user_code: job.userCode, account: who });
    await until(`${alias} is signed in`, async () => (await this.api('GET', `/api/login/${job.id}`)).body.shown === 'success');
  }

  /** One request of a client's. The status it sees. */
  async ask({ session, provider = 'openai', model = 'gpt-5' } = {}) {
    const headers = { 'content-type': 'application/json' };
    if (session) headers['x-rota-session'] = session;
    const reply = await fetch(`${this.proxy}/${provider}/v1/responses`, { method: 'POST', headers, body: JSON.stringify({ model, input: 'hello', stream: true }) });
    await reply.text();
    return reply.status;
  }

  /** The control API of the fake upstream. */
  async tell(endpoint, body) {
    const reply = await fetch(`${this.upstream}/__fake/${endpoint}`, { method: body ? 'POST' : 'GET', headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!reply.ok) throw new Error(`${endpoint}: ${await reply.text()}`);
    return reply.json();
  }

  async #fake(accounts, script) {
    const known = Object.entries(accounts).map(([alias, provider]) => ({ id: alias, ...(provider === 'codex' ? { access_tokens: [{ token: key(alias) }] } : { api_keys: [key(alias)] }) }));
    const file = join(this.home, 'fake.json');
    await writeFile(file, JSON.stringify({ text: 'hello from here', deltas: 2, device: { interval: 1 }, ...script, accounts: [...known, ...(script.accounts ?? [])] }), { mode: 0o600 });
    const fake = this.#spawn('rota-fake-upstream', ['--listen', '127.0.0.1:0', '--script', file]);
    this.upstream = (await this.#told(fake)).origin;
  }

  async #configure(settings, listen = '127.0.0.1:0', admin = '127.0.0.1:0') {
    this.settings = settings;
    const folder = join(this.home, 'config', 'rota');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const origins = ['anthropic', 'codex', 'openai'].map(id => `[providers.${id}]\norigin = "${this.upstream}"\n${id === 'openai' ? '' : `auth_origin = "${this.upstream}"\n`}`);
    await writeFile(join(folder, 'rota.toml'), `listen = "${listen}"\nadmin_listen = "${admin}"\n${settings}\n${origins.join('\n')}`, { mode: 0o600 });
  }

  #spawn(program, args) {
    const path = join(BINARIES, program);
    if (!existsSync(path)) throw new Error(`there is no ${path}; run: cargo build --workspace --locked`);
    const process = spawn(path, args, { env: this.env(), stdio: ['ignore', 'pipe', 'pipe'] });
    const told = { process, said: '' };
    for (const stream of [process.stdout, process.stderr]) stream.on('data', bytes => (told.said = (told.said + bytes).slice(-100_000)));
    this.programs.push(told);
    return told;
  }

  /** The JSON of a program's first line, or of a file's, as soon as it is whole. */
  async #told(program, file) {
    return until(`the address of ${program.process.spawnfile}`, () => {
      if (program.process.exitCode !== null) throw new Error(`${program.process.spawnfile} ended:\n${program.said}`);
      try {
        return JSON.parse((file ? readFileSync(file, 'utf8') : program.said).split('\n')[0]);
      } catch {
        return null;
      }
    });
  }
}

export const key = alias => `sk-canary-${alias}`;

async function end({ process }) {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = new Promise(done => process.once('exit', done));
  process.kill('SIGTERM');
  const insist = setTimeout(() => process.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(insist);
}
