// The differences between two answers of the API: current rates, loads and percentiles.
//
// Fed by `dashboard` with each answer of /api/v1/status and /api/v1/cores; read by `panels`.
// Uses neither the page nor the network, so that tests can feed known differences.
//
// Always true:
// - A rate is a difference of counters over the time between the same two answers of that core.
// - A counter that fell, or another server_id, starts a new history: no rate is ever negative.
// - An unknown number is null, and null is never added up as 0.

/** The length of the history, in seconds. */
export const SPAN_SECONDS = 300;

/**
 * The spans of charts: the shortest that shows the whole history, so that a new page is not empty.
 */
const SHOWN_SECONDS = [60, 120, SPAN_SECONDS];

/** The largest distance of answers that are joined by a line. */
const JOINED_SECONDS_MAX = 10;

/** The reasons why messages are lost, and their counters. */
export const LOSSES = [
  {
    counter: "dropped_oldest_messages",
    label: "Queue full, oldest dropped",
    why: "A subscriber was slower than its publishers, and its overflow policy is drop_oldest.",
  },
  {
    counter: "dropped_new_messages",
    label: "Queue full, newest dropped",
    why: "A subscriber was slower than its publishers, and its overflow policy is drop_new.",
  },
  {
    counter: "dropped_connection_full_messages",
    label: "Connection full",
    why: "All queues of one connection together had reached queues.connection_bytes.",
  },
  {
    counter: "reclaimed_messages",
    label: "Reclaimed, memory is short",
    why: "limits.memory_max was nearly reached, and the queues that held most lost their oldest messages.",
  },
  {
    counter: "conflated_messages",
    label: "Replaced by a newer message",
    why: "A subscriber whose overflow policy is latest was slower than its publishers.",
  },
  {
    counter: "expired_in_queue_messages",
    label: "Expired in a queue",
    why: "The time to live ended before the subscriber took the message.",
  },
  {
    counter: "expired_before_enqueue_messages",
    label: "Expired on arrival",
    why: "The time to live had ended before the message was put into any queue.",
  },
  {
    counter: "dropped_disconnected_messages",
    label: "Connection ended",
    why: "The messages were queued for a subscriber that left or was disconnected.",
  },
  {
    counter: "refused_for_memory_messages",
    label: "Refused, memory is full",
    why: "limits.memory_max was reached, and publishers were sent an error.",
  },
  {
    counter: "refused_messages",
    label: "Refused",
    why: "Publishers were sent an error, such as for a topic that is not allowed.",
  },
];

/** The percentiles shown, as shares. */
export const PERCENTILES = [0.5, 0.9, 0.99, 0.999];

/** The sum of the known values; null if there are none. */
export function sum(values) {
  let total = null;
  for (const value of values)
    if (value !== null && value !== undefined) total = (total ?? 0) + value;
  return total;
}

/** Messages lost, over all reasons, in counters or in rates. */
export function lost(numbers) {
  return sum(LOSSES.map((loss) => numbers[loss.counter]));
}

function fell(now, before) {
  return Object.entries(now).some(([name, value]) => value < (before[name] ?? 0));
}

function histogramDifference(now, before) {
  const counts = now.counts.map((value, bucket) => value - (before.counts[bucket] ?? 0));
  return { counts, sum: (now.sum ?? now.sum_seconds) - (before.sum ?? before.sum_seconds) };
}

function addHistograms(histograms) {
  const counts = [];
  let total = 0;
  for (const histogram of histograms) {
    histogram.counts.forEach((value, bucket) => {
      counts[bucket] = (counts[bucket] ?? 0) + value;
    });
    total += histogram.sum;
  }
  return { counts, sum: total };
}

function events(histogram) {
  return histogram.counts.reduce((total, value) => total + value, 0);
}

function mean(histogram) {
  const number = events(histogram);
  return number > 0 ? histogram.sum / number : null;
}

/**
 * The upper bound of the bucket that holds the percentile; Infinity above the last bound; null
 * without events.
 */
export function percentile(counts, uppers, share) {
  const number = counts.reduce((total, value) => total + value, 0);
  if (number === 0) return null;
  // Of 10 events the 5th is the median and the 10th the 99.9th percentile.
  const rank = Math.max(1, Math.ceil(number * share - 1e-9));
  let seen = 0;
  for (let bucket = 0; bucket < counts.length; bucket += 1) {
    seen += counts[bucket];
    if (seen >= rank) return bucket < uppers.length ? uppers[bucket] : Infinity;
  }
  return Infinity;
}

const HISTOGRAMS = ["accept_to_send", "send_messages", "send_bytes", "enter_sends"];

/** The work of one core between two of its answers; null if it is unknown. */
function coreDifference(now, before, interval) {
  if (!before || interval <= 0 || fell(now.counters, before.counters)) return null;
  const rates = {};
  for (const [name, value] of Object.entries(now.counters)) {
    rates[name] = (value - (before.counters[name] ?? 0)) / interval;
  }
  const histograms = {};
  for (const name of HISTOGRAMS) histograms[name] = histogramDifference(now[name], before[name]);
  const asleep = (now.asleep_seconds - before.asleep_seconds) / interval;
  return { rates, histograms, load: Math.min(1, Math.max(0, 1 - asleep)) };
}

function means(histograms) {
  return {
    messagesPerSend: mean(histograms.send_messages),
    bytesPerSend: mean(histograms.send_bytes),
    sendsPerCall: mean(histograms.enter_sends),
  };
}

function coreSample(core, difference) {
  return {
    core: core.core,
    cpu: core.cpu,
    answered: core.answered,
    gauges: core.answered ? core.gauges : {},
    load: difference?.load ?? null,
    rates: difference?.rates ?? {},
    lost: difference ? lost(difference.rates) : null,
    ...(difference
      ? means(difference.histograms)
      : { messagesPerSend: null, bytesPerSend: null, sendsPerCall: null }),
  };
}

/** All cores at one time. `joined`: a line joins this sample to the one before. */
function sample(time, joined, restarted, cores, differences, uppers) {
  const known = differences.filter((difference) => difference !== null);
  const rates = {};
  for (const difference of known) {
    for (const [name, value] of Object.entries(difference.rates)) {
      rates[name] = (rates[name] ?? 0) + value;
    }
  }
  const gauges = {};
  for (const core of cores.filter((one) => one.answered)) {
    for (const [name, value] of Object.entries(core.gauges))
      gauges[name] = (gauges[name] ?? 0) + value;
  }
  const histograms = {};
  for (const name of HISTOGRAMS) {
    histograms[name] = addHistograms(known.map((difference) => difference.histograms[name]));
  }
  const latency = histograms.accept_to_send;
  return {
    time,
    joined,
    restarted,
    cores: cores.map((core, index) => coreSample(core, differences[index])),
    rates,
    gauges,
    lost: known.length > 0 ? lost(rates) : null,
    load: known.length > 0 ? sum(known.map((difference) => difference.load)) / known.length : null,
    latency: PERCENTILES.map((share) => percentile(latency.counts, uppers, share)),
    latencyLargestBound: uppers.at(-1) ?? null,
    ...means(histograms),
    processLoad: null,
  };
}

/** The samples of the last minutes, oldest first. */
export class History {
  constructor(spanSeconds = SPAN_SECONDS) {
    this.spanSeconds = spanSeconds;
    this.samples = [];
    this.status = null;
    this.lastByCore = new Map();
  }

  get latest() {
    return this.samples.at(-1) ?? null;
  }

  /** The span of the charts. */
  get shownSeconds() {
    const length = (this.latest?.time ?? 0) - (this.samples[0]?.time ?? 0);
    return SHOWN_SECONDS.find((seconds) => seconds >= length) ?? SPAN_SECONDS;
  }

  /** Adds the two answers of a poll, and returns the sample made from them. */
  add(status, answer) {
    const time = answer.now_unix_seconds;
    const restarted = this.status !== null && status.server_id !== this.status.server_id;
    if (restarted) this.lastByCore.clear();
    const previous = this.latest;
    // The clock was set back: samples ahead of it cannot be drawn.
    if (previous && time < previous.time) this.samples = [];
    const joined = !restarted && previous !== null && time - previous.time <= JOINED_SECONDS_MAX;
    const differences = answer.cores.map((core) => this.differenceOf(core, time));
    const uppers = answer.cores.find((core) => core.answered)?.accept_to_send.upper_seconds ?? [];
    const made = sample(time, joined, restarted, answer.cores, differences, uppers);
    made.processLoad = this.processLoad(status, restarted);
    this.status = status;
    this.samples.push(made);
    while (this.samples[0].time < time - this.spanSeconds) this.samples.shift();
    return made;
  }

  differenceOf(core, time) {
    if (!core.answered) return null;
    const last = this.lastByCore.get(core.core);
    this.lastByCore.set(core.core, { core, time });
    return coreDifference(core, last?.core, time - (last?.time ?? time));
  }

  /** CPU seconds of the process per second: 1.5 is one and a half cores. */
  processLoad(status, restarted) {
    if (restarted || this.status === null) return null;
    const interval = status.now_unix_seconds - this.status.now_unix_seconds;
    const used = status.process.cpu_seconds - this.status.process.cpu_seconds;
    if (interval === 0) return this.latest?.processLoad ?? null;
    return interval > 0 && used >= 0 ? used / interval : null;
  }
}
