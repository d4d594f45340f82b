// The cores: a row for each, and for many cores a map of their loads.
//
// Made and fed by `dashboard`. Next: `elements`.

import { Bar, byId, make, pool, setAttribute, setText, show } from "./elements.js";
import { count, plural, rate, si, wholePercent } from "./formats.js";

/** The number of cores from which on a map of loads is shown. */
const HEAT_CORES_MIN = 9;

const COLUMNS = [
  { name: "Published", read: (core) => rate(core.rates.published_messages) },
  { name: "Delivered", read: (core) => rate(core.rates.delivered_messages) },
  {
    name: "Lost",
    read: (core) => rate(core.lost),
    mood: (core) => (core.lost > 0 ? "lost" : null),
  },
  { name: "Msgs/send", read: (core) => si(core.messagesPerSend) },
  { name: "Sends/call", read: (core) => si(core.sendsPerCall) },
  { name: "Mesh msgs", read: (core) => rate(core.rates.mesh_letters_sent) },
  { name: "Connections", read: (core) => count(core.gauges.connections) },
  { name: "Subscr.", read: (core) => count(core.gauges.subscriptions) },
  { name: "Topics", read: (core) => count(core.gauges.topics) },
];

export class Cores {
  constructor() {
    const heads = ["Core", "Load", ...COLUMNS.map((column) => column.name)].map((name, index) =>
      make("th", { scope: "col", class: index > 1 ? "numeric" : null }, name),
    );
    this.body = make("tbody");
    const caption = make("caption", { class: "unseen" }, "The work of each core now");
    byId("cores").append(caption, make("thead", {}, make("tr", {}, ...heads)), this.body);
  }

  makeRow() {
    const name = make("span", { class: "core-name" });
    const cpu = make("span", { class: "core-cpu" });
    const load = make("span", { class: "core-load" });
    const bar = new Bar("bar plain");
    const cells = COLUMNS.map(() => make("td", { class: "numeric" }));
    const head = make("th", { scope: "row" }, name, " ", cpu);
    const row = make(
      "tr",
      {},
      head,
      make("td", {}, make("div", { class: "load" }, bar.element, load)),
      ...cells,
    );
    row.parts = { name, cpu, load, bar, cells };
    return row;
  }

  set(sample) {
    const { cores } = sample;
    const rows = pool(this.body, cores.length, () => this.makeRow());
    rows.forEach((row, index) => {
      const core = cores[index];
      const { name, cpu, load, bar, cells } = row.parts;
      setText(name, String(core.core));
      setText(cpu, `CPU ${core.cpu}`);
      setText(load, core.answered ? wholePercent(core.load) : "does not answer");
      bar.set(core.load, false);
      setAttribute(row, "data-mood", core.answered ? null : "warn");
      COLUMNS.forEach((column, number) => {
        setText(cells[number], core.answered ? column.read(core) : "–");
        setAttribute(cells[number], "data-mood", column.mood?.(core) ?? null);
      });
    });
    const silent = cores.filter((core) => !core.answered).length;
    const hint =
      silent > 0
        ? `${plural(silent, "core")} of ${count(cores.length)} did not answer`
        : plural(cores.length, "core");
    setText(byId("cores-hint"), hint);
    this.drawHeat(cores);
  }

  drawHeat(cores) {
    const heat = byId("heat");
    const shown = cores.length >= HEAT_CORES_MIN;
    show(heat, shown);
    if (!shown) return;
    heat.setAttribute("role", "img");
    const known = cores.filter((core) => core.load !== null);
    const busy = known.filter((core) => core.load >= 0.75).length;
    setAttribute(heat, "aria-label", `Load of ${cores.length} cores: ${busy} are above 75 %`);
    pool(heat, cores.length, () => make("span")).forEach((cell, index) => {
      const core = cores[index];
      cell.style.setProperty("--load", (core.load ?? 0).toFixed(2));
      setAttribute(cell, "data-silent", core.answered ? null : "");
      const load = core.answered ? wholePercent(core.load) : "does not answer";
      setAttribute(cell, "title", `Core ${core.core}, CPU ${core.cpu}: ${load}`);
    });
  }
}
