// The facts that seldom change: state, configuration, process, and notices about them.
//
// Fed by `dashboard` with each answer of /api/v1/status. Next: `elements`.

import { byId, make, pool, setAttribute, setText, show } from "./elements.js";
import { NONE, bytes, clock, count, duration, moment, plural, si } from "./formats.js";

// Each state has a shape of its own, so that it is recognised without its colour.
const STATES = {
  unknown: { text: "Connecting", shape: "M2 6h8" },
  ready: { text: "Ready", shape: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z" },
  draining: { text: "Draining", shape: "M2 1h8L6 6.5zM6 5.5 10 11H2z" },
  silent: { text: "No answer", shape: "M2 2l8 8M10 2l-8 8" },
  locked: { text: "Token required", shape: "M3 5V4a3 3 0 0 1 6 0v1h1v6H2V5z" },
};

/** `state`: one of the above; an unknown state of a newer broker is shown by its name. */
export function showState(state) {
  const { text, shape } = STATES[state] ?? { text: state, shape: STATES.ready.shape };
  setAttribute(byId("state"), "data-state", state);
  setAttribute(byId("state-shape"), "d", shape);
  setText(byId("state-text"), text);
  document.title = `${text} · BlipMQ`;
}

function pairs(id, rows) {
  const items = pool(byId(id), rows.length, () => {
    const item = make("div", {}, make("dt"), make("dd"));
    return item;
  });
  items.forEach((item, index) => {
    const [name, value, mood = null] = rows[index];
    const [term, data] = item.children;
    setText(term, name);
    const lines = Array.isArray(value) ? value : [value];
    pool(data, lines.length, () => make("span")).forEach((line, number) =>
      setText(line, lines[number]),
    );
    setAttribute(data, "data-mood", mood);
  });
}

function drawConfiguration(configuration) {
  // A page that stays open can be answered by a broker of another version, without this field.
  if (!configuration) return pairs("configuration", [["File", NONE]]);
  const { file, last_reload: last } = configuration;
  const rows = [
    ["File", file ?? "none, every key has its default"],
    ["Active since", moment(configuration.loaded_unix_seconds)],
    ["Reloads", count(configuration.reloads)],
  ];
  if (last === null) {
    rows.push(["Last reload", "none since the start"]);
  } else {
    const refused = last.outcome !== "applied";
    const text = `${refused ? "✕" : "✓"} ${last.outcome}, number ${last.number}, ${moment(last.unix_seconds)}`;
    rows.push(["Last reload", text, refused ? "lost" : "good"]);
    if (last.applied?.length) rows.push(["Applied", last.applied]);
    if (last.needs_restart?.length) rows.push(["Needs a restart", last.needs_restart, "warn"]);
    if (last.errors?.length) rows.push(["Errors", last.errors, "lost"]);
  }
  return pairs("configuration", rows);
}

/** "0–3, 6": numbers, with neighbours as ranges. */
export function runs(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  const found = [];
  for (const number of sorted) {
    const run = found.at(-1);
    if (run && number === run[1] + 1) run[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}

function drawProcess(status, processLoad) {
  const { process, addresses } = status;
  const used = processLoad === null ? "" : `, now ${si(processLoad)} CPUs`;
  pairs("process", [
    ["Up", duration(status.uptime_seconds)],
    ["Started", moment(status.started_unix_seconds)],
    ["BLIP/1 clients", addresses.blip],
    ["NATS clients", addresses.nats ?? "not served"],
    ["Runs on", `CPU ${runs(status.cpus)}, ${plural(status.shards, "shard")}`],
    ["This page", addresses.metrics],
    ["CPU time", `${duration(process.cpu_seconds)}${used}`],
    ["Resident memory", bytes(process.resident_bytes)],
    ["Open files", `${count(process.open_files)} of ${count(process.open_files_max)}`],
    ["Threads", count(process.threads)],
    ["Process", String(status.pid)],
    ["Server id", status.server_id],
  ]);
}

/** Notices for the operator: [kind, title, text]. */
function notices(status, answer) {
  const found = [];
  if (status.state === "draining") {
    found.push([
      "warn",
      "The broker is draining.",
      "The broker accepts no new connections, delivers accepted messages, and then ends.",
    ]);
  }
  const silent = answer.cores.filter((core) => !core.answered).map((core) => core.core);
  if (silent.length > 0) {
    const names = silent.length === 1 ? `Core ${silent[0]} does` : `Cores ${runs(silent)} do`;
    found.push(["error", `${names} not answer.`, "Rates and lists do not include them."]);
  }
  const last = status.configuration?.last_reload;
  if (last && last.outcome === "refused") {
    const why = last.errors?.[0] ?? "";
    found.push([
      "error",
      `The reload at ${clock(last.unix_seconds)} was refused, nothing was changed.`,
      why,
    ]);
  } else if (last?.needs_restart?.length) {
    const keys = last.needs_restart.join(", ");
    found.push(["warn", "The configuration file has changes that need a restart:", keys]);
  }
  return found;
}

export function drawNotices(status, answer) {
  const found = notices(status, answer);
  const items = pool(byId("notices"), found.length, () =>
    make("p", { class: "notice" }, make("strong"), " ", make("span")),
  );
  items.forEach((item, index) => {
    const [kind, title, text] = found[index];
    setAttribute(item, "data-kind", kind);
    setText(item.children[0], title);
    setText(item.children[1], text);
  });
}

export function drawFacts(status, processLoad) {
  showState(status.state);
  setText(byId("version"), status.version);
  setText(byId("uptime"), duration(status.uptime_seconds));
  setText(byId("address"), status.addresses.blip);
  drawConfiguration(status.configuration);
  drawProcess(status, processLoad);
}

/**
 * Shows that the broker does not answer, since when, why, and how often the page retries; null
 * hides it.
 */
export function drawNoAnswer(problem) {
  show(byId("no-answer"), problem !== null);
  byId("content").classList.toggle("stale", problem !== null);
  if (problem === null) return;
  const { why, lastAnswer, wasDraining, retrySeconds } = problem;
  const title = wasDraining
    ? "The broker was draining, and has ended."
    : "The broker does not answer.";
  setText(byId("no-answer-title"), title);
  const since =
    lastAnswer === null
      ? "There was no answer yet"
      : `The numbers below are from ${clock(lastAnswer)}`;
  setText(byId("no-answer-text"), `${since}. ${why}. Trying again every ${retrySeconds} s.`);
}
