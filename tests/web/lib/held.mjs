// Requests of the page, held until a test lets them go: what is under way can be looked at.
export async function held(page, pattern, method = 'PUT') {
  let letGo;
  const gate = new Promise(done => (letGo = done));
  const seen = [];
  await page.route(pattern, async route => {
    if (route.request().method() !== method) return route.fallback();
    seen.push(route.request().url());
    await gate;
    return route.fallback();
  });
  return { seen, letGo };
}

/** Changes what the API answers, as another state of the server would: the rest of the answer is real. */
export async function changed(page, pattern, change) {
  await page.route(pattern, async route => {
    const reply = await route.fetch().catch(() => null);
    if (!reply) return route.abort();
    if (!reply.ok()) return route.fulfill({ response: reply });
    return route.fulfill({ response: reply, json: change(await reply.json()) });
  });
}
