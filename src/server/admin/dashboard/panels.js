// The panels that show the latest sample: tiles, charts, losses, work, limits.
//
// Made and fed by `dashboard`. Next: `charts` and `elements`. `cores` shows the work of each core,
// and `facts` what seldom changes.

import { LineChart, Sparkline } from "./charts.js";
import { Bar, byId, level, make, pool, setAttribute, setText, show } from "./elements.js";
import {
  bytes,
  byteRate,
  count,
  exactly,
  percent,
  rate,
  seconds,
  si,
  wholePercent,
} from "./formats.js";
import { LOSSES, PERCENTILES, lost } from "./samples.js";

/** Cores with a line of their own; the others are drawn in one style. */
const NAMED_CORES_MAX = 6;

/** A latency: above the last bound of the histogram only that bound is known. */
function latency(value, largestBound) {
  return value === Infinity ? `> ${seconds(largestBound)}` : seconds(value);
}

function busiest(sample) {
  const known = sample.cores.filter((core) => core.load !== null);
  return known.reduce((most, core) => (most && most.load >= core.load ? most : core), null);
}

function fanOut(sample) {
  const { published_messages: published, delivered_messages: delivered } = sample.rates;
  return published > 0 ? ` · fan-out ${si(delivered / published)}` : "";
}

/** The numbers at the top. `value`, `below` and `line` read a sample; `line` is drawn. */
const TILES = [
  {
    name: "Published",
    kind: "published",
    value: (sample) => rate(sample.rates.published_messages),
    below: (sample) => byteRate(sample.rates.published_bytes),
    line: (sample) => sample.rates.published_messages ?? null,
  },
  {
    name: "Delivered",
    kind: "delivered",
    value: (sample) => rate(sample.rates.delivered_messages),
    below: (sample) => `${byteRate(sample.rates.flushed_bytes)}${fanOut(sample)}`,
    line: (sample) => sample.rates.delivered_messages ?? null,
  },
  {
    name: "Lost",
    kind: "lost",
    value: (sample) => rate(sample.lost),
    below: (sample, status) => `${count(lost(status.totals))} since the start`,
    line: (sample) => sample.lost,
    mood: (sample) => (sample.lost > 0 ? "lost" : null),
  },
  {
    name: "Latency, 99 %",
    kind: "p99",
    value: (sample) => latency(sample.latency[2], sample.latencyLargestBound),
    below: (sample) =>
      sample.latency[0] === null
        ? "nothing was sent"
        : `half within ${latency(sample.latency[0], sample.latencyLargestBound)}`,
    line: (sample) => sample.latency[2],
  },
  {
    name: "Core load",
    kind: "load",
    value: (sample) => percent(sample.load),
    below: (sample) => {
      const most = busiest(sample);
      return most ? `busiest is core ${most.core}, ${wholePercent(most.load)}` : "–";
    },
    line: (sample) => sample.load,
  },
  {
    name: "Connections",
    kind: "plain",
    value: (sample) => count(sample.gauges.connections),
    below: (sample) =>
      `${count(sample.gauges.nats_connections)} NATS, ${count(sample.gauges.subscriptions)} subscriptions`,
    line: (sample) => sample.gauges.connections ?? null,
  },
];

/** The efficiency of the broker. */
const TRENDS = [
  { name: "CPUs used by the process", value: (sample) => sample.processLoad, write: si },
  { name: "Sends per system call", value: (sample) => sample.sendsPerCall, write: si },
  { name: "Messages per send", value: (sample) => sample.messagesPerSend, write: si },
  { name: "Bytes per send", value: (sample) => sample.bytesPerSend, write: bytes },
  { name: "Turns of the loops", value: (sample) => sample.rates.turns ?? null, write: rate },
  { name: "System calls", value: (sample) => sample.rates.enters ?? null, write: rate },
  {
    name: "Mesh messages",
    value: (sample) => sample.rates.mesh_letters_sent ?? null,
    write: rate,
  },
  {
    name: "Mesh messages waiting",
    value: (sample) => sample.gauges.mesh_waiting_letters ?? null,
    write: count,
    warn: (value) => value > 0,
  },
  {
    name: "Mesh was full",
    value: (sample) => sample.rates.mesh_full ?? null,
    write: rate,
    warn: (value) => value > 0,
  },
  {
    name: "Receive buffers ran short",
    value: (sample) => sample.rates.receive_buffer_shortages ?? null,
    write: rate,
    warn: (value) => value > 0,
  },
];

const CHOICES = [
  { name: "All cores", key: null },
  { name: "Published", key: (core) => core.rates.published_messages ?? null },
  { name: "Delivered", key: (core) => core.rates.delivered_messages ?? null },
  { name: "Lost", key: (core) => core.lost },
];

const LIMIT_NAMES = {
  connections: "Connections",
  memory: "Memory for messages",
  topics: "Topics",
  open_files: "Open files",
};
const LEVEL_WORDS = { ok: "", near: "getting full", full: "nearly used up" };

export class Panels {
  constructor() {
    this.tiles = TILES.map((tile) => this.makeTile(tile));
    byId("tiles").append(...this.tiles.map((tile) => tile.element));
    const title = "Messages per second";
    this.rates = new LineChart(byId("rates-chart"), { title, format: rate });
    this.latency = new LineChart(byId("latency-chart"), {
      title: "Latency from accepted to sent",
      format: (value) => latency(value, this.largestBound),
      logarithmic: true,
    });
    this.losses = LOSSES.map((loss) => this.makeLoss(loss));
    byId("losses").append(...this.losses.map((loss) => loss.element));
    this.trends = TRENDS.map((trend) => this.makeTrend(trend));
    byId("trends").append(...this.trends.map((trend) => trend.element));
    this.choice = CHOICES[0];
    this.history = null;
    this.makeChoices();
  }

  makeTile(tile) {
    const value = make("b", { class: "tile-value" }, "–");
    const below = make("span", { class: "tile-below" });
    const sparkline = new Sparkline(tile.kind);
    const name = make("h2", { class: "tile-name" }, tile.name);
    const element = make("div", { class: "card tile" }, name, value, below, sparkline.element);
    return { tile, element, value, below, sparkline };
  }

  makeLoss(loss) {
    const now = make("b");
    const total = make("span", { class: "loss-total" });
    const name = make("span", { class: "loss-name", title: loss.why }, loss.label);
    return { loss, now, total, element: make("li", {}, name, now, total) };
  }

  makeTrend(trend) {
    const value = make("b");
    const sparkline = new Sparkline("plain");
    const name = make("span", { class: "trend-name" }, trend.name);
    return { trend, value, sparkline, element: make("li", {}, name, value, sparkline.element) };
  }

  makeChoices() {
    const buttons = CHOICES.map((choice) => {
      const label = choice.key ? `${choice.name} by core` : choice.name;
      const button = make("button", { type: "button" }, label);
      button.addEventListener("click", () => {
        this.choice = choice;
        press();
        if (this.history) this.drawRates(this.history);
      });
      return button;
    });
    const press = () =>
      buttons.forEach((button, index) => {
        button.setAttribute("aria-pressed", String(CHOICES[index] === this.choice));
      });
    press();
    byId("rates-choice").append(...buttons);
  }

  set(history) {
    this.history = history;
    const { latest, samples, shownSeconds, status } = history;
    this.largestBound = latest.latencyLargestBound;
    const times = samples.map((sample) => sample.time);
    const joined = samples.map((sample) => sample.joined);
    for (const { tile, value, below, sparkline } of this.tiles) {
      setText(value, tile.value(latest));
      setText(below, tile.below(latest, status));
      setAttribute(value, "data-mood", tile.mood?.(latest) ?? null);
      sparkline.set(times, joined, samples.map(tile.line), shownSeconds);
    }
    for (const { loss, element, now, total } of this.losses) {
      const ever = status.totals[loss.counter];
      const perSecond = latest.rates[loss.counter] ?? null;
      setText(now, rate(perSecond));
      setText(total, count(ever));
      setAttribute(total, "title", exactly(ever));
      setAttribute(element, "data-mood", perSecond > 0 ? "lost" : ever > 0 ? "was-lost" : "none");
    }
    for (const { trend, element, value, sparkline } of this.trends) {
      const number = trend.value(latest);
      setText(value, trend.write(number));
      setAttribute(element, "data-mood", trend.warn?.(number) ? "warn" : null);
      sparkline.set(times, joined, samples.map(trend.value), shownSeconds);
    }
    this.drawRates(history);
    this.drawLatency(history, times, joined);
    this.drawLimits(status.limits);
  }

  drawRates({ samples, shownSeconds: spanSeconds }) {
    const times = samples.map((sample) => sample.time);
    const joined = samples.map((sample) => sample.joined);
    const marks = samples.filter((sample) => sample.restarted).map((sample) => sample.time);
    if (this.choice.key) {
      this.rates.set({ times, joined, marks, spanSeconds, ...this.linesByCore(samples) });
      return;
    }
    const over = (read) => samples.map(read);
    this.rates.set({
      times,
      joined,
      marks,
      spanSeconds,
      series: [
        {
          name: "Published",
          kind: "published",
          values: over((one) => one.rates.published_messages ?? null),
        },
        {
          name: "Delivered",
          kind: "delivered",
          filled: true,
          values: over((one) => one.rates.delivered_messages ?? null),
        },
        { name: "Lost", kind: "lost", values: over((one) => one.lost) },
      ],
    });
  }

  /** A line for each of the busiest cores, and all others in one style. */
  linesByCore(samples) {
    const { key } = this.choice;
    const byCore = new Map();
    samples.forEach((sample, index) => {
      for (const core of sample.cores) {
        if (!byCore.has(core.core)) byCore.set(core.core, Array(samples.length).fill(null));
        byCore.get(core.core)[index] = key(core);
      }
    });
    const last = samples.length - 1;
    const most = [...byCore].sort(([, one], [, other]) => (other[last] ?? -1) - (one[last] ?? -1));
    const named = most.slice(0, NAMED_CORES_MAX).sort(([one], [other]) => one - other);
    const series = named.map(([core, values], index) => {
      return { name: `Core ${core}`, kind: `core-${index}`, values };
    });
    const others = most.slice(NAMED_CORES_MAX).map(([, values]) => values);
    if (others.length === 0) return { series };
    const mean = samples.map((_, index) => {
      const known = others.map((values) => values[index]).filter((value) => value !== null);
      return known.length > 0
        ? known.reduce((total, value) => total + value, 0) / known.length
        : null;
    });
    const name = others.length === 1 ? "1 other" : `${others.length} others, mean`;
    return { series: [...series, { name, kind: "others", values: mean }], also: { others } };
  }

  drawLatency({ samples, shownSeconds: spanSeconds, status }, times, joined) {
    const names = PERCENTILES.map((share) => `${Number((share * 100).toFixed(1))} %`);
    const kinds = ["p50", "p90", "p99", "p999"];
    const series = names.map((name, index) => {
      return { name, kind: kinds[index], values: samples.map((sample) => sample.latency[index]) };
    });
    const marks = samples.filter((sample) => sample.restarted).map((sample) => sample.time);
    const empty = samples.length > 1 ? "No messages were sent in this time" : undefined;
    this.latency.set({ times, joined, marks, spanSeconds, series: series.reverse(), empty });
    const ever = status.latency;
    const since =
      ever.p50_seconds === null
        ? "no messages since the start"
        : `since the start: 50 % within ${seconds(ever.p50_seconds)}, 99.9 % within ${seconds(ever.p999_seconds)}`;
    setText(byId("latency-since"), since);
  }

  drawLimits(limits) {
    const items = pool(byId("limits"), limits.length, () => this.makeLimit());
    items.forEach((item, index) => {
      const limit = limits[index];
      const { name, amount, bar, meter, key, word } = item.parts;
      const write = limit.unit === "bytes" ? bytes : count;
      const bounded = limit.limit > 0;
      const ratio = bounded ? limit.used / limit.limit : 0;
      const title = LIMIT_NAMES[limit.name] ?? limit.name;
      setText(name, title);
      const bound = bounded ? write(limit.limit) : "no limit";
      setText(amount, `${write(limit.used)} of ${bound}`);
      setAttribute(amount, "title", `${exactly(limit.used)} of ${exactly(limit.limit)}`);
      setText(key, limit.key);
      const words = LEVEL_WORDS[level(ratio)];
      setText(word, `${words ? `${words}, ` : ""}${wholePercent(ratio)}`);
      setAttribute(item, "data-level", level(ratio));
      setAttribute(meter, "aria-label", title);
      setAttribute(meter, "aria-valuenow", Math.round(Math.min(1, ratio) * 100));
      setAttribute(meter, "aria-valuetext", `${amount.textContent}, ${word.textContent}`);
      bar.set(ratio);
    });
    show(byId("limits"), limits.length > 0);
  }

  makeLimit() {
    const name = make("span", { class: "gauge-name" });
    const amount = make("b");
    const bar = new Bar("bar gauge-bar");
    const meter = make(
      "div",
      { role: "meter", "aria-valuemin": 0, "aria-valuemax": 100 },
      bar.element,
    );
    const key = make("code");
    const word = make("span", { class: "gauge-word" });
    const above = make("div", { class: "gauge-line" }, name, amount);
    const below = make("div", { class: "gauge-line below" }, key, word);
    const item = make("li", {}, above, meter, below);
    item.parts = { name, amount, bar, meter, key, word };
    return item;
  }
}
