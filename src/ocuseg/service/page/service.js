// The service as functions: what it serves, and what a model sees in a file.

const PATIENCE = 20; // how often a busy service is asked again

/** An answer that is no prediction; its message is the one line that the service gave. */
export class Refused extends Error {}

let token = null;
let asking = null;

/** Return the models and limits; `askToken` gives a promise of a token where one is needed. */
export async function describeService(askToken) {
  return (await answered("/v1/model", {}, askToken)).json();
}

/** Return what `model` sees in a file, with `parts` of what the answer may hold. */
export async function predict(file, model, { threshold = null, parts = [] }, askToken) {
  const query = new URLSearchParams({ model });
  if (threshold !== null) query.set("threshold", threshold);
  for (const part of parts) query.append("with", part);
  const headers = { "Content-Type": "application/octet-stream" };
  return (await answered(`/v1/predict?${query}`, { method: "POST", body: file, headers }, askToken)).json();
}

async function answered(address, options, askToken) {
  for (let turn = 0; ; turn++) {
    const headers = { Accept: "application/json", ...options.headers };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    const used = token;
    let answer;
    try {
      answer = await fetch(address, { ...options, headers });
    } catch {
      throw new Refused("the service does not answer; see that it still runs");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      if (used === token) {
        asking ??= askToken().finally(() => { asking = null; });
        token = await asking;
      }
    } else if (answer.status === 503 && turn < PATIENCE) {
      const wait_s = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(wait_s, 10)));
    } else {
      const problem = await answer.json().catch(() => ({ error: `the service answered ${answer.status}` }));
      throw new Refused(problem.error);
    }
  }
}
