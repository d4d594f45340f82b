// Starts the broker of a test, like server.py, which has more comments.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const nats = fileURLToPath(new URL("..", import.meta.url));
export const PATIENCE = 30_000;
/** The folder of certificates that ../run.py has made. */
export const CERTIFICATES = process.env.CERTIFICATES ?? "";
const PORT = /(?:NATS|client connections) on 127\.0\.0\.1:(\d+)/;

/** Waits for a promise, not for ever. */
export async function within(promise, what = "what a test waits for", patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${patience} ms`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function command(kind, config) {
  if (kind === "blipmq") {
    const binary = process.env.BLIPMQ ?? join(nats, "../../target/debug/blipmq");
    return [binary, ["serve", "--config", config]];
  }
  return [process.env.NATS_SERVER ?? "nats-server", ["--config", config]];
}

class Server {
  constructor(kind, auth, port) {
    Object.assign(this, { kind, auth, port });
    this.folder = mkdtempSync(join(tmpdir(), "blipmq-nats-"));
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async run() {
    const file = `${this.auth}.${this.kind === "blipmq" ? "toml" : "conf"}`;
    const config = join(this.folder, file);
    // nats-server has -1 for a port that the system chooses.
    const port = this.port ?? (this.kind === "blipmq" ? 0 : -1);
    const template = readFileSync(join(nats, "servers", this.kind, file), "utf8");
    const text = template.replace("@PORT@", port).replaceAll("@CERTIFICATES@", CERTIFICATES);
    writeFileSync(config, text);
    this.process = spawn(...command(this.kind, config), { stdio: ["ignore", "pipe", "pipe"] });
    this.ended = once(this.process, "close");
    let said = "";
    const ready = new Promise((resolve, reject) => {
      const read = (data) => {
        said += data;
        if (said.includes(" is ready") && /\n$/.test(said) && PORT.test(said)) resolve();
      };
      this.process.stdout.on("data", read);
      this.process.stderr.on("data", read);
      this.ended.then(() => reject(new Error("it ended")), reject);
    });
    try {
      await within(ready);
    } catch (error) {
      this.process.kill("SIGKILL");
      throw new Error(`${this.kind} is not ready (${error.message}); it said:\n${said}`);
    }
    this.port = Number(PORT.exec(said)[1]);
  }

  /** SIGTERM, and waits until it has ended. */
  stop() {
    return this.end("SIGTERM");
  }

  /** SIGKILL, and waits until it has ended. */
  kill() {
    return this.end("SIGKILL");
  }

  async end(signal) {
    this.process.kill(signal);
    await within(this.ended, `${this.kind} ending`);
  }

  /** The same broker on the same port. */
  startAgain() {
    return this.run();
  }

  async close() {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

/** Starts one and waits until clients can connect. `auth` is a file of ../servers. */
export async function start({ kind = process.env.SERVER ?? "blipmq", auth = "none", port } = {}) {
  const server = new Server(kind, auth, port);
  await server.run();
  return server;
}
