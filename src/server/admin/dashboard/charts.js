// Charts of the last minutes, as SVG.
//
// Fed by `panels` with values over time. Next: `elements`.
//
// Always true:
// - Lines differ by their dashes as well as by colour, and the legend has the value of each line.
// - A gap in the values is a gap in the line.
// - Every value that the pointer can read can be read with the arrow keys too.

import { draw, make, pool, setAttribute, setText } from "./elements.js";
import { clock } from "./formats.js";

/** The width in pixels below which fewer times are labelled. */
const NARROW_WIDTH = 480;
const MARGIN = { top: 10, right: 12, bottom: 22, left: 58 };

/** The least of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `value`; 4 for 0. */
export function niceCeiling(value) {
  if (!(value > 0)) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= value * (1 - 1e-9));
  return factor * power;
}

/** The mapping from values to pixels, and the values of the grid lines. */
function linearScale(largest, height) {
  const top = niceCeiling(largest);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top);
  return { ticks, y: (value) => MARGIN.top + (1 - value / top) * height };
}

function logarithmicScale(smallest, largest, height) {
  let low = Math.floor(Math.log10(smallest));
  const high = Math.max(Math.ceil(Math.log10(largest)), low + 1);
  low = Math.min(low, high - 2);
  const step = Math.ceil((high - low) / 5);
  const ticks = [];
  for (let power = low; power <= high; power += step) ticks.push(10 ** power);
  const share = (value) => (Math.log10(value) - low) / (high - low);
  return { ticks, y: (value) => MARGIN.top + (1 - share(value)) * height };
}

/** The pieces of a line without gaps, in pixels. */
function pieces(times, values, joined, x, y) {
  const runs = [];
  let run = null;
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) {
      run = null;
      return;
    }
    if (!run || !joined[index]) runs.push((run = []));
    run.push([x(times[index]), y(value)]);
  });
  return runs;
}

function path(runs) {
  return runs
    .map((run) => {
      const points = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
      // A single point is drawn as a dot: a line of no length with round ends.
      if (points.length === 1) points.push(points[0]);
      return `M${points.join("L")}`;
    })
    .join("");
}

/** The path of the area between the line and `bottom`. */
function areaPath(runs, bottom) {
  return runs
    .filter((run) => run.length > 1)
    .map((run) => {
      const points = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      return `M${run[0][0].toFixed(1)} ${bottom}L${points}L${run.at(-1)[0].toFixed(1)} ${bottom}Z`;
    })
    .join("");
}

/**
 * A line chart. `container` is an element of the page; `format` writes a value; `logarithmic` is
 * for values that span decades.
 */
export class LineChart {
  constructor(container, { title, format, logarithmic = false }) {
    this.format = format;
    this.title = title;
    this.logarithmic = logarithmic;
    this.data = { times: [], joined: [], marks: [], series: [], spanSeconds: 60 };
    this.readAt = null;

    this.grid = draw("g", { class: "chart-grid" });
    this.lines = draw("g", { class: "chart-lines" });
    this.cursor = draw("line", { class: "chart-cursor", visibility: "hidden" });
    this.svg = draw(
      "svg",
      { role: "img", tabindex: "0", class: "chart-svg", "aria-label": title },
      this.grid,
      this.lines,
      this.cursor,
    );
    this.legend = make("ul", { class: "legend" });
    this.when = make("p", { class: "chart-when" });
    this.empty = make("p", { class: "chart-empty" });
    this.plot = make("div", { class: "chart-plot" }, this.svg, this.empty);
    container.append(make("div", { class: "chart-head" }, this.legend, this.when), this.plot);

    this.svg.addEventListener("pointermove", (event) => this.readNear(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /**
   * `series`: {name, values, kind, filled}; `kind` is the name of its style. `marks`: times of
   * restarts. `spanSeconds`: the time from the left edge to the right one. `empty`: the text of a
   * chart without values.
   */
  set(data) {
    this.data = data;
    this.draw();
  }

  get width() {
    return Math.max(this.plot.clientWidth, 120);
  }

  get height() {
    return Math.max(this.plot.clientHeight, 100);
  }

  x(time) {
    const end = this.data.times.at(-1) ?? 0;
    const inner = this.width - MARGIN.left - MARGIN.right;
    return MARGIN.left + (1 - (end - time) / this.data.spanSeconds) * inner;
  }

  scale() {
    const inner = this.height - MARGIN.top - MARGIN.bottom;
    let largest = 0;
    let smallest = Infinity;
    for (const { values } of this.data.series) {
      for (const value of values) {
        if (value === null || !Number.isFinite(value)) continue;
        if (value > largest) largest = value;
        if (value > 0 && value < smallest) smallest = value;
      }
    }
    if (!this.logarithmic) return linearScale(largest, inner);
    if (smallest === Infinity) [smallest, largest] = [1e-5, 1e-3];
    const scale = logarithmicScale(smallest, largest, inner);
    // Zero has no place on a logarithmic scale, and is drawn at the bottom.
    const least = scale.ticks[0];
    return { ...scale, y: (value) => scale.y(Math.max(value, least)) };
  }

  draw() {
    const { width, height } = this;
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${height}`);
    const scale = this.scale();
    this.drawGrid(scale, width, height);
    this.drawLines(scale, height);
    this.drawLegend();
    this.drawCursor(height);
    const known = this.data.series.some(({ values }) => values.some((value) => value !== null));
    this.empty.hidden = known;
    setText(this.empty, known ? "" : (this.data.empty ?? "Waiting for a second sample"));
  }

  drawGrid(scale, width, height) {
    const bottom = height - MARGIN.bottom;
    const parts = [];
    for (const tick of scale.ticks) {
      const y = scale.y(tick).toFixed(1);
      const label = draw("text", { x: MARGIN.left - 8, y, class: "chart-y" });
      label.textContent = this.format(tick);
      parts.push(draw("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }), label);
    }
    const end = this.data.times.at(-1) ?? 0;
    const { spanSeconds } = this.data;
    const step = (spanSeconds > 120 ? 60 : spanSeconds / 4) * (width < NARROW_WIDTH ? 2 : 1);
    for (let ago = 0; ago <= spanSeconds; ago += step) {
      const place = ago === 0 ? "end" : ago === spanSeconds ? "start" : "middle";
      const x = this.x(end - ago).toFixed(1);
      const label = draw("text", { x, y: bottom + 16, class: `chart-x chart-x-${place}` });
      label.textContent = ago === 0 ? "now" : ago % 60 === 0 ? `−${ago / 60} min` : `−${ago} s`;
      parts.push(label);
    }
    for (const time of this.data.marks) {
      const x = this.x(time).toFixed(1);
      const line = draw("line", { x1: x, x2: x, y1: MARGIN.top, y2: bottom, class: "chart-mark" });
      const label = draw("text", { x, y: MARGIN.top + 8, class: "chart-mark-text" });
      label.textContent = "restart";
      parts.push(line, label);
    }
    this.grid.replaceChildren(...parts);
  }

  drawLines(scale, height) {
    const { times, joined } = this.data;
    const x = (time) => this.x(time);
    const parts = [];
    // The first series is drawn last, over the others.
    for (const { kind, values, filled } of [...this.data.series].reverse()) {
      // Several lines of one style, such as those of all other cores, are one path.
      const runs = [values, ...(this.data.also?.[kind] ?? [])].flatMap((line) =>
        pieces(times, line, joined, x, scale.y),
      );
      if (filled) {
        const d = areaPath(runs, (height - MARGIN.bottom).toFixed(1));
        parts.push(draw("path", { class: `area line-${kind}`, d }));
      }
      parts.push(draw("path", { class: `line line-${kind}`, d: path(runs) }));
    }
    this.lines.replaceChildren(...parts);
  }

  /** The index of the sample under the cursor, or of the latest one. */
  get index() {
    const last = this.data.times.length - 1;
    if (this.readAt === null) return last;
    let nearest = last;
    for (let index = last; index >= 0; index -= 1) {
      const distance = Math.abs(this.data.times[index] - this.readAt);
      if (distance <= Math.abs(this.data.times[nearest] - this.readAt)) nearest = index;
    }
    return nearest;
  }

  drawLegend() {
    const { series, times } = this.data;
    const { index } = this;
    const items = pool(this.legend, series.length, () => {
      const stroke = draw("line", { x1: 1, x2: 17, y1: 5, y2: 5 });
      const swatch = draw("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" }, stroke);
      return make("li", {}, swatch, make("span", { class: "legend-name" }), make("b"));
    });
    items.forEach((item, number) => {
      const { name, kind, values } = series[number];
      setAttribute(item.querySelector("line"), "class", `line line-${kind}`);
      setText(item.querySelector("span"), name);
      setText(item.querySelector("b"), index < 0 ? "" : this.format(values[index] ?? null));
    });
    setText(this.when, this.readAt === null || index < 0 ? "" : `at ${clock(times[index])}`);
    const reading = ({ name, values }) => `${name} ${this.format(values[index] ?? null)}`;
    const at = this.readAt === null || index < 0 ? "now" : `at ${clock(times[index])}`;
    setAttribute(this.svg, "aria-label", `${this.title}, ${at}: ${series.map(reading).join(", ")}`);
  }

  drawCursor(height) {
    const shown = this.readAt !== null && this.index >= 0;
    setAttribute(this.cursor, "visibility", shown ? "visible" : "hidden");
    if (!shown) return;
    const x = this.x(this.data.times[this.index]).toFixed(1);
    for (const name of ["x1", "x2"]) setAttribute(this.cursor, name, x);
    setAttribute(this.cursor, "y1", MARGIN.top);
    setAttribute(this.cursor, "y2", height - MARGIN.bottom);
  }

  read(time) {
    this.readAt = time;
    this.drawLegend();
    this.drawCursor(this.height);
  }

  readNear(pixel) {
    const inner = this.width - MARGIN.left - MARGIN.right;
    const share = (pixel - MARGIN.left) / inner;
    const end = this.data.times.at(-1) ?? 0;
    this.read(end - (1 - Math.min(1, Math.max(0, share))) * this.data.spanSeconds);
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    const last = this.data.times.length - 1;
    if (last < 0) return;
    if (event.key === "Escape") this.read(null);
    else if (event.key === "Home") this.read(this.data.times[0]);
    else if (event.key === "End") this.read(this.data.times[last]);
    else if (event.key in steps) {
      const to = Math.min(last, Math.max(0, this.index + steps[event.key]));
      this.read(this.data.times[to]);
    } else return;
    event.preventDefault();
  }
}

/** A small line without axes; its value must stand beside it as text. */
export class Sparkline {
  constructor(kind) {
    this.line = draw("path", { class: `line line-${kind}` });
    this.area = draw("path", { class: `area line-${kind}` });
    this.element = draw(
      "svg",
      {
        class: "sparkline",
        viewBox: "0 0 100 24",
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      },
      this.area,
      this.line,
    );
  }

  set(times, joined, values, spanSeconds) {
    const end = times.at(-1) ?? 0;
    const known = values.filter((value) => value !== null && Number.isFinite(value));
    const largest = Math.max(...known, 0) || 1;
    const x = (time) => 100 * (1 - (end - time) / spanSeconds);
    const y = (value) => 22.5 - (value / largest) * 21;
    const runs = pieces(times, values, joined, x, y);
    setAttribute(this.line, "d", path(runs));
    setAttribute(this.area, "d", areaPath(runs, 24));
  }
}
