// What a provider remembers, for tests that run long: the package's own memory forgets all but the last thousand things, and with them
// sessions and refresh tokens that are still in use.

const SWEEP_AFTER = 1000;

/** An adapter for npm `oidc-provider`: everything is kept until it expires. */
export function keepingEverything() {
  const kept = new Map();
  const sessions = new Map();
  let written = 0;
  const get = (key) => {
    const found = kept.get(key);
    return found && found.until > Date.now() ? found.payload : undefined;
  };
  const sweep = () => {
    const now = Date.now();
    for (const [key, { until, payload }] of kept) {
      if (until > now) continue;
      kept.delete(key);
      sessions.delete(payload.uid);
    }
  };
  return (model) => ({
    async upsert(id, payload, expiresIn) {
      written += 1;
      if (written % SWEEP_AFTER === 0) sweep();
      if (model === "Session") sessions.set(payload.uid, id);
      kept.set(`${model}:${id}`, { payload, until: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
    },
    find: async (id) => get(`${model}:${id}`),
    findByUid: async (uid) => get(`${model}:${sessions.get(uid)}`),
    async consume(id) {
      get(`${model}:${id}`).consumed = Math.floor(Date.now() / 1000);
    },
    async destroy(id) {
      kept.delete(`${model}:${id}`);
    },
    async revokeByGrantId(grant) {
      for (const [key, { payload }] of kept) if (payload.grantId === grant) kept.delete(key);
    },
  });
}
