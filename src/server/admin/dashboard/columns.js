// The columns of the three lists.
//
// Used by `dashboard`, which gives them to `tables`. Next: `elements` and `formats`.
//
// Always true: names that clients chose (topics, patterns, groups) are set as text, in a <bdi>, so
// that neither markup nor a right-to-left name changes the text around them.

import { Bar, level, make, setAttribute, setText, show } from "./elements.js";
import { bytes, count, duration, exactly, rate, seconds, wholePercent } from "./formats.js";

const INVISIBLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A name whose invisible characters are written as their numbers. */
export function legible(name) {
  return name.replace(
    INVISIBLE,
    (one) => `⟨${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/** A column of one text. */
function text(name, write, options = {}) {
  return {
    name,
    ...options,
    make() {
      const value = make("span");
      return { elements: [value], value };
    },
    fill({ value }, row) {
      setText(value, write(row));
      setAttribute(value, "title", options.title?.(row) ?? null);
      setAttribute(value, "data-mood", options.mood?.(row) ?? null);
    },
  };
}

function counted(name, key, options = {}) {
  const title = (row) => exactly(row[key]);
  return text(name, (row) => count(row[key]), { numeric: true, title, ...options });
}

/** A column of a name that clients chose, with a line below it, and labels. */
function named(name, { main, below, labels, sort }) {
  return {
    name,
    sort,
    wide: true,
    make() {
      const bdi = make("bdi", { class: "name" });
      const tags = make("span", { class: "tags" });
      const line = make("span", { class: "below" });
      const top = make("span", { class: "name-line" }, bdi, tags);
      return { elements: [make("span", { class: "stack" }, top, line)], bdi, tags, line };
    },
    fill({ bdi, tags, line }, row) {
      const name = legible(main(row));
      setText(bdi, name);
      setAttribute(bdi, "title", name);
      setText(line, below(row));
      const wanted = labels?.(row) ?? [];
      while (tags.children.length > wanted.length) tags.lastElementChild.remove();
      while (tags.children.length < wanted.length) tags.append(make("bdi", { class: "tag" }));
      wanted.forEach((label, index) => setText(tags.children[index], legible(label)));
    },
  };
}

/** A column of how full a queue is. */
function queue(name, used, bound, write, sort) {
  return {
    name,
    sort,
    numeric: true,
    make() {
      const bar = new Bar();
      const value = make("span");
      const below = make("span", { class: "below" });
      return {
        elements: [make("span", { class: "stack" }, value, bar.element, below)],
        bar,
        value,
        below,
      };
    },
    fill({ bar, value, below }, row) {
      const ratio = row[bound] > 0 ? row[used] / row[bound] : 0;
      bar.set(ratio);
      setText(value, write(row[used]));
      const word = level(ratio) === "full" ? " full" : "";
      setText(below, `${wholePercent(ratio)}${word} of ${write(row[bound])}`);
    },
  };
}

const LOST_WORDS = {
  overflow_oldest: "oldest",
  overflow_new: "newest",
  connection_full: "connection full",
  reclaimed: "reclaimed",
  conflated: "replaced by newer",
  expired: "expired",
};

/** "1,200 oldest · 30 expired" */
function lostWords(dropped) {
  return Object.entries(dropped ?? {})
    .filter(([, number]) => number > 0)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, number]) => `${count(number)} ${LOST_WORDS[reason] ?? reason}`)
    .join(" · ");
}

const POLICIES = {
  drop_oldest: "drops the oldest",
  drop_new: "drops the newest",
  block: "blocks publishers",
  disconnect: "disconnects the subscriber",
  latest: "keeps the latest",
};

const lostColumn = {
  name: "Lost",
  sort: "dropped",
  numeric: true,
  make() {
    const value = make("span");
    const below = make("span", { class: "below" });
    return { elements: [make("span", { class: "stack" }, value, below)], value, below };
  },
  fill({ value, below }, row) {
    setText(value, count(row.dropped_messages));
    setAttribute(value, "title", exactly(row.dropped_messages));
    setAttribute(value, "data-mood", row.dropped_messages > 0 ? "lost" : null);
    const words = lostWords(row.dropped);
    show(below, words !== "");
    setText(below, words);
  },
};

const policyColumn = {
  name: "When full",
  make() {
    const value = make("span");
    const below = make("span", { class: "below", "data-mood": "warn" });
    return { elements: [make("span", { class: "stack" }, value, below)], value, below };
  },
  fill({ value, below }, row) {
    setText(value, POLICIES[row.overflow] ?? row.overflow);
    setAttribute(value, "title", row.overflow);
    const topics = row.holds_up_topics;
    show(below, topics > 0);
    setText(
      below,
      topics > 0 ? `blocks ${count(topics)} ${topics === 1 ? "topic" : "topics"} now` : "",
    );
  },
};

const STATES = { joining: "joining", ending: "ending" };

export const SUBSCRIPTIONS = {
  id: "subscriptions",
  path: "subscriptions",
  noun: "subscribers",
  sort: "dropped",
  pageSize: 10,
  empty: "No subscriptions yet. Try: blipmq sub '>'",
  columns: [
    named("Subscriber", {
      main: (row) => row.pattern,
      below: (row) => {
        // Messages that wait for a member of a group are in no member's queue yet.
        if (row.connection === null)
          return `messages not yet given to a member · core ${row.core}`;
        const connection = `${row.address} · ${row.protocol} · connection ${row.connection}`;
        return `${connection}, subscription ${row.subscription} · core ${row.core}`;
      },
      labels: (row) =>
        [row.group === null ? null : `group ${row.group}`, STATES[row.state]].filter(Boolean),
    }),
    lostColumn,
    text("Lag", (row) => seconds(row.lag_seconds), {
      sort: "lag",
      numeric: true,
      title: () => "Age of the oldest message in the queue",
    }),
    queue("Queued messages", "queued_messages", "messages_max", count, "queued_messages"),
    queue("Queued bytes", "queued_bytes", "bytes_max", bytes, "queued_bytes"),
    counted("Delivered", "delivered_messages", { sort: "delivered" }),
    policyColumn,
  ],
};

const rateColumn = {
  name: "Rate",
  sort: "rate",
  numeric: true,
  make() {
    const bar = new Bar("bar plain");
    const value = make("span");
    return { elements: [make("span", { class: "stack" }, value, bar.element)], bar, value };
  },
  fill({ bar, value }, row, context) {
    setText(value, rate(row.rate_per_second));
    bar.set(context > 0 ? row.rate_per_second / context : 0, false);
  },
};

export const TOPICS = {
  id: "topics",
  path: "topics",
  noun: "topics",
  sort: "rate",
  pageSize: 10,
  empty: "No topics yet. Try: blipmq pub orders.eu 'one espresso'",
  /** The highest rate of the page, whose bar is full. */
  context: (rows) => Math.max(0, ...rows.map((row) => row.rate_per_second)),
  columns: [
    named("Topic", {
      main: (row) => row.topic,
      below: (row) => `core ${row.core}`,
      labels: (row) => (row.blocked ? ["publishers blocked"] : []),
      sort: "name",
    }),
    rateColumn,
    counted("Published", "published_messages", { sort: "published" }),
    text("Published bytes", (row) => bytes(row.published_bytes), { numeric: true }),
    counted("Retained", "kept_messages"),
    text("Retained bytes", (row) => bytes(row.kept_bytes), { numeric: true, sort: "kept_bytes" }),
    text(
      "Last message",
      (row) => (row.idle_seconds === null ? "none" : `${seconds(row.idle_seconds)} ago`),
      {
        numeric: true,
      },
    ),
  ],
};

const PAUSES = {
  answers: "waits until the client reads its answers",
  mesh: "waits for another core",
  blocked: "blocked by a slow subscriber",
  fence: "waits for all cores",
};

function connectionState(row) {
  return row.paused === null ? row.state : (PAUSES[row.paused] ?? row.paused);
}

export const CONNECTIONS = {
  id: "connections",
  path: "connections",
  noun: "connections",
  sort: "queued_bytes",
  pageSize: 10,
  empty: "No connections now.",
  columns: [
    named("Connection", {
      main: (row) => row.address,
      below: (row) => {
        const client = row.nats_client_id === null ? "" : `, client ${row.nats_client_id}`;
        return `${row.protocol}${client} · ${row.connection} · core ${row.core}`;
      },
    }),
    text("State", connectionState, { mood: (row) => (row.paused === null ? null : "warn") }),
    text("Queued bytes", (row) => bytes(row.queued_bytes), { numeric: true, sort: "queued_bytes" }),
    counted("Queued", "queued_messages", { sort: "queued_messages" }),
    text("Lag", (row) => seconds(row.lag_seconds), { numeric: true, sort: "lag" }),
    counted("Lost", "dropped_messages", {
      sort: "dropped",
      mood: (row) => (row.dropped_messages > 0 ? "lost" : null),
    }),
    counted("Published", "published_messages", { sort: "published" }),
    counted("Delivered", "delivered_messages", { sort: "delivered" }),
    counted("Subscriptions", "subscriptions", { sort: "subscriptions" }),
    text("Age", (row) => duration(row.age_seconds), { numeric: true, sort: "age" }),
  ],
};
