// One turn of a load that runs for long, and what it is told of when it hangs.

/** How long one turn may take; what takes longer hangs, and is told with what it was doing. */
const LONGEST_TURN_MS = 60_000;

/** One turn of a load: what it is doing, and how to look at the state of that. */
export class Turn {
  constructor() {
    this.at("began");
  }

  /** Notes what comes next; `look` gives its state should it hang. */
  at(step, look = () => ({})) {
    Object.assign(this, { step, look, since: Date.now() });
  }

  /** What `work` gives, or an error that says where it hangs. */
  async within(work) {
    let timer;
    const hangs = new Promise((_, failed) => {
      timer = setTimeout(() => failed(new Error(this.state())), LONGEST_TURN_MS);
    });
    return await Promise.race([work, hangs]).finally(() => clearTimeout(timer));
  }

  state() {
    const waited = ((Date.now() - this.since) / 1000).toFixed(1);
    return `hangs: ${this.step}, for ${waited} s: ${JSON.stringify(this.look())}`;
  }
}

/** What is told of a socket that hangs. */
export function stateOf(socket) {
  if (!socket) return "no socket";
  const { readyState, destroyed, bytesRead, bytesWritten, writableLength, readableEnded, writableFinished, localPort } = socket;
  return { readyState, destroyed, bytesRead, bytesWritten, writableLength, readableEnded, writableFinished, localPort };
}

