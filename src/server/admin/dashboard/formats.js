// Numbers as text for people: SI for rates, binary for bytes, µs/ms/s for times.
//
// Used by every module that shows a number. Pure functions, without state and without the page.
//
// Always true: an unknown number is written as a dash, never as 0 or NaN.

/** The text of an unknown number. */
export const NONE = "–";

const SI = ["", " k", " M", " G", " T", " P"];
const BINARY = [" B", " KiB", " MiB", " GiB", " TiB", " PiB"];
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Three significant digits; without decimals if they are zeros. */
function threeDigits(value) {
  const size = Math.abs(value);
  const digits = value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
  // A small number is not written as 0.
  if (Number(digits) === 0 && value !== 0) return value > 0 ? "<0.01" : ">−0.01";
  return Number.isInteger(Number(digits)) ? String(Number(digits)) : digits;
}

function scaled(value, base, units) {
  // 999.6 would be written as 1000, so it belongs to the next unit.
  const next = base - 0.5;
  let unit = 0;
  while (Math.abs(value) >= next && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return threeDigits(value) + units[unit];
}

/** 12345 is "12.3 k". */
export function si(value) {
  return known(value) ? scaled(value, 1000, SI) : NONE;
}

/** 12345 is "12.3 k/s". */
export function rate(value) {
  return known(value) ? `${si(value)}/s` : NONE;
}

/** 12345 is "12,345"; from ten million on "12.3 M". */
export function count(value) {
  if (!known(value)) return NONE;
  return Math.abs(value) < 1e7 ? GROUPED.format(value) : si(value);
}

/** A count with all its digits, for titles. */
export function exactly(value) {
  return known(value) ? GROUPED.format(value) : NONE;
}

/** 1600 is "1.56 KiB". */
export function bytes(value) {
  return known(value) ? scaled(value, 1024, BINARY) : NONE;
}

/** 1600 bytes in a second are "1.56 KiB/s". */
export function byteRate(value) {
  return known(value) ? `${bytes(value)}/s` : NONE;
}

/** 0.0000123 is "12.3 µs"; from a minute on it is the two largest units. */
export function seconds(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "0 s";
  const size = Math.abs(value);
  if (size < 999.5e-6) return `${threeDigits(value * 1e6)} µs`;
  if (size < 999.5e-3) return `${threeDigits(value * 1e3)} ms`;
  if (size < 60) return `${threeDigits(value)} s`;
  return duration(value);
}

/** A time in its two largest units: "12 s", "3 min 5 s", "4 h 10 min", "2 d 3 h". */
export function duration(value) {
  if (!known(value)) return NONE;
  const whole = Math.floor(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** 0.123 is "12.3 %". */
export function percent(ratio) {
  return known(ratio) ? `${threeDigits(ratio * 100)} %` : NONE;
}

/** 0.123 is "12 %": for numbers whose digits would only flicker. */
export function wholePercent(ratio) {
  if (!known(ratio)) return NONE;
  const whole = Math.round(ratio * 100);
  return whole === 0 && ratio > 0 ? "<1 %" : `${whole} %`;
}

/** The time of day. */
export function clock(unixSeconds) {
  return known(unixSeconds) ? CLOCK.format(new Date(unixSeconds * 1000)) : NONE;
}

/** Day and time of day. */
export function moment(unixSeconds) {
  if (!known(unixSeconds)) return NONE;
  const date = new Date(unixSeconds * 1000);
  return `${DATE.format(date)}, ${CLOCK.format(date)}`;
}

/** "1 topic", "2 topics". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
