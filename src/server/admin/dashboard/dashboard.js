// The dashboard: asks the broker's API, and shows the answers.
//
// Loaded by index.html. Next on the path of an answer: `api` fetches it, `samples` makes rates of
// two of them, `panels`, `cores`, `facts` and `tables` show them.
//
// Always true:
// - Nothing is loaded from another origin.
// - The page asks only while it is visible, one question at a time, and less and less often while
//   the broker does not answer.

import { NoAnswer, TokenRequired, get, hasToken, useToken } from "./api.js";
import { CONNECTIONS, SUBSCRIPTIONS, TOPICS } from "./columns.js";
import { Cores } from "./cores.js";
import { byId, setAttribute, setText, show } from "./elements.js";
import { drawFacts, drawNoAnswer, drawNotices, showState } from "./facts.js";
import { clock } from "./formats.js";
import { Panels } from "./panels.js";
import { History } from "./samples.js";
import { ListTable } from "./tables.js";

const NUMBERS_MS = 1000;
const LISTS_MS = 2000;
const RETRY_MS_MAX = 16000;

/** Calls `work` again and again, `pauseMs` after its last begin, never twice at once. */
class Loop {
  constructor(work, pauseMs) {
    this.work = work;
    this.pauseMs = pauseMs;
    this.timer = null;
    this.running = false;
    this.wantsMore = false;
    this.stopped = true;
  }

  start() {
    this.stopped = false;
    this.now();
  }

  stop() {
    this.stopped = true;
    this.wantsMore = false;
    clearTimeout(this.timer);
  }

  /** Calls `work` at once, or as soon as the call under way ends. */
  async now() {
    if (this.stopped) return;
    if (this.running) {
      this.wantsMore = true;
      return;
    }
    clearTimeout(this.timer);
    this.running = true;
    const start = performance.now();
    try {
      await this.work();
    } finally {
      this.running = false;
      if (!this.stopped) {
        const left = this.wantsMore ? 0 : Math.max(0, this.pauseMs() - (performance.now() - start));
        this.wantsMore = false;
        this.timer = setTimeout(() => this.now(), left);
      }
    }
  }
}

class Dashboard {
  constructor() {
    this.history = new History();
    this.panels = new Panels();
    this.cores = new Cores();
    const changed = (table) => this.askList(table, true);
    this.tables = [SUBSCRIPTIONS, TOPICS, CONNECTIONS].map((list) => new ListTable(list, changed));
    this.failures = 0;
    this.lastAnswer = null;
    this.locked = false;
    this.paused = false;
    this.numbers = new Loop(
      () => this.askNumbers(),
      () => Math.min(NUMBERS_MS * 2 ** this.failures, RETRY_MS_MAX),
    );
    this.lists = new Loop(
      () => this.askLists(),
      () => LISTS_MS,
    );
  }

  start() {
    document.addEventListener("visibilitychange", () => this.startOrStop());
    byId("pause").addEventListener("click", () => {
      this.paused = !this.paused;
      this.drawPause();
      this.startOrStop();
    });
    byId("retry").addEventListener("click", () => this.numbers.now());
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.unlock(byId("token").value.trim());
    });
    // Without a token there is nothing to show behind the dialog.
    byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault());
    byId("forget").addEventListener("click", () => {
      useToken(null);
      this.lock();
    });
    this.startOrStop();
  }

  startOrStop() {
    const asks = !document.hidden && !this.paused && !this.locked;
    for (const loop of [this.numbers, this.lists]) {
      if (asks && loop.stopped) loop.start();
      else if (!asks) loop.stop();
    }
  }

  drawPause() {
    const label = this.paused ? "Resume" : "Pause";
    setAttribute(byId("pause"), "aria-pressed", String(this.paused));
    setAttribute(byId("pause"), "aria-label", label);
    setAttribute(byId("pause"), "title", label);
    if (this.paused) setText(byId("updated"), `${clock(this.lastAnswer)}, paused`);
  }

  async askNumbers() {
    try {
      const [status, cores] = await Promise.all([get("status"), get("cores")]);
      if (this.locked || this.paused) return;
      this.history.add(status, cores);
      this.failures = 0;
      this.lastAnswer = Date.now() / 1000;
      this.drawNumbers(status, cores);
    } catch (problem) {
      this.handleFailure(problem);
    }
  }

  drawNumbers(status, cores) {
    drawNoAnswer(null);
    drawFacts(status, this.history.latest.processLoad);
    drawNotices(status, cores);
    this.panels.set(this.history);
    this.cores.set(this.history.latest);
    setText(byId("updated"), clock(this.lastAnswer));
    show(byId("forget"), hasToken());
  }

  async askLists() {
    // While the broker does not answer, asking for the numbers is enough.
    if (this.failures > 0) return;
    for (const table of this.tables) await this.askList(table, false);
  }

  /** `requested`: the reader sorted or turned the list, which works on a paused page too. */
  async askList(table, requested) {
    const query = table.query;
    try {
      const answer = await get(query);
      // The reader may have sorted or turned the list meanwhile; then this answer is obsolete.
      if (query === table.query && !this.locked && (requested || !this.paused)) table.set(answer);
    } catch (problem) {
      if (problem instanceof TokenRequired) this.lock();
      else if (!(problem instanceof NoAnswer)) throw problem;
      else if (this.failures === 0) table.showNote(`List not available: ${problem.message}.`);
    }
  }

  handleFailure(problem) {
    if (problem instanceof TokenRequired) return this.lock();
    if (!(problem instanceof NoAnswer)) throw problem;
    this.failures += 1;
    showState("silent");
    drawNoAnswer({
      why: `${problem.message[0].toUpperCase()}${problem.message.slice(1)}`,
      lastAnswer: this.lastAnswer,
      wasDraining: this.history.status?.state === "draining",
      retrySeconds: this.numbers.pauseMs() / 1000,
    });
    return undefined;
  }

  /** Shows the token dialog, and asks the broker nothing until there is a token. */
  lock() {
    if (this.locked) return;
    this.locked = true;
    this.startOrStop();
    showState("locked");
    const refused = hasToken();
    show(byId("token-problem"), refused);
    setText(byId("token-problem"), refused ? "The broker refused this token." : "");
    setAttribute(byId("token"), "aria-invalid", refused ? "true" : null);
    byId("token").value = "";
    byId("token-dialog").showModal();
  }

  unlock(token) {
    if (token === "") return;
    useToken(token);
    this.locked = false;
    byId("token-dialog").close();
    showState("unknown");
    this.startOrStop();
  }
}

new Dashboard().start();
