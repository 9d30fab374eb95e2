// Requests to the server, and a queue that keeps labels while the server does not answer.

const RETRY_MS = 1000;

/** Send a request, a POST if it has a body. Throws an Error with a message for people; `error.isFinal` if a retry is useless. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Start it again.");
  }
  if (answer.ok) return answer.json();
  throw Object.assign(new Error(await explanation(answer)), { isFinal: answer.status < 500 });
}

async function explanation(answer) {
  const text = await answer.text();
  try {
    const { detail } = JSON.parse(text);
    return typeof detail === "string" ? detail : detail[0].msg;
  } catch {
    return text || `The server answers ${answer.status}.`;
  }
}

/** Sends labels in order, each until the server confirms that it is on the disk. */
export class Outbox {
  #waiting = [];
  #isSending = false;

  /** Calls onSaved(progress) after each saved label, onTrouble(text) after a failure, and onTrouble("") at its end. */
  constructor(onSaved, onTrouble) {
    this.onSaved = onSaved;
    this.onTrouble = onTrouble;
    this.isStuck = false;
  }

  get count() {
    return this.#waiting.length;
  }

  send(label) {
    this.#waiting.push(label);
    if (!this.#isSending) this.#work();
  }

  async #work() {
    this.#isSending = true;
    while (this.#waiting.length > 0) {
      try {
        const progress = await ask("api/labels", this.#waiting[0]);
        this.#waiting.shift();
        this.#clear();
        this.onSaved(progress);
      } catch (error) {
        this.isStuck = true;
        this.onTrouble(`${this.count} not saved yet. ${error.message}`);
        if (error.isFinal) break;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#isSending = false;
  }

  #clear() {
    if (!this.isStuck) return;
    this.isStuck = false;
    this.onTrouble("");
  }
}
