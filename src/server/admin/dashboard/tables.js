// Lists of the API as tables, sorted and paged by the broker.
//
// Made by `dashboard`, which fetches the path of `query`. Next: `columns` fills the cells.
//
// Always true:
// - The broker sorts and pages, so that the first row is the first of all rows.
// - On a narrow screen a row becomes a card, and the data-label of a cell is its name.

import { byId, make, pool, setAttribute, setText, show } from "./elements.js";
import { count } from "./formats.js";

/** The last row that the API lists. */
const LISTED_MAX = 10000;
const PAGE_SIZES = [5, 10, 20, 50, 100];
/** Rows are tall on narrow screens. */
const NARROW = window.matchMedia("(max-width: 720px)");
const NARROW_PAGE_SIZE = 5;

function button(label, text) {
  return make("button", { type: "button", "aria-label": label, title: label }, text);
}

/**
 * `list`: {id, path, noun, columns, sort, pageSize, empty}. A column: {name, sort, numeric, make,
 * fill}; `sort` is the API's key, `make` makes the content of a cell and `fill` sets it.
 */
export class ListTable {
  constructor(list, changed) {
    this.list = list;
    this.changed = changed;
    this.sort = list.sort;
    this.order = "desc";
    this.pageSize = NARROW.matches ? NARROW_PAGE_SIZE : list.pageSize;
    this.offset = 0;
    this.total = null;
    const section = byId(list.id);
    this.head = section.querySelector(".card-head");
    this.note = make("p", { class: "list-note", role: "status", hidden: "" });
    this.emptyText = make("p", { class: "list-empty" }, "Waiting for the first answer");
    this.body = make("tbody");
    this.table = this.makeTable();
    this.scroll = make("div", { class: "scroll-across" }, this.table);
    section.append(this.note, this.scroll, this.emptyText);
    this.makeControls(section);
    this.drawOrder();
    show(this.scroll, false);
  }

  get query() {
    const { sort, order, pageSize, offset } = this;
    return `${this.list.path}?sort=${sort}&order=${order}&limit=${pageSize}&offset=${offset}`;
  }

  makeTable() {
    this.headers = this.list.columns.map((column) => {
      const header = make("th", { scope: "col", role: "columnheader" });
      if (column.numeric) header.className = "numeric";
      if (!column.sort) {
        header.append(column.name);
        return header;
      }
      const sorter = make("button", { type: "button", class: "sorter" }, column.name);
      sorter.append(make("span", { class: "arrow", "aria-hidden": "true" }));
      sorter.addEventListener("click", () => this.sortBy(column.sort));
      header.append(sorter);
      return header;
    });
    const caption = make("caption", { class: "unseen" }, this.head.querySelector("h2").textContent);
    const row = make("tr", { role: "row" }, ...this.headers);
    this.body.setAttribute("role", "rowgroup");
    const attributes = { class: `grid list ${this.list.id}-table`, role: "table" };
    return make("table", attributes, caption, make("thead", { role: "rowgroup" }, row), this.body);
  }

  makeControls(section) {
    // For narrow screens, whose cards have no column heads.
    this.sortSelect = make("select", { "aria-label": `Sort ${this.list.noun} by` });
    for (const column of this.list.columns.filter((one) => one.sort)) {
      this.sortSelect.append(make("option", { value: column.sort }, column.name));
    }
    this.sortSelect.addEventListener("change", () => this.sortBy(this.sortSelect.value, true));
    this.orderButton = button("Reverse the order", "");
    this.orderButton.addEventListener("click", () => this.sortBy(this.sort));
    this.head.append(make("div", { class: "sort-narrow" }, this.sortSelect, this.orderButton));

    this.range = make("p", { class: "range", "aria-live": "off" });
    this.sizeSelect = make("select", { "aria-label": `Rows of ${this.list.noun} per page` });
    for (const size of PAGE_SIZES)
      this.sizeSelect.append(make("option", { value: size }, `${size} rows`));
    this.sizeSelect.value = String(this.pageSize);
    this.sizeSelect.addEventListener("change", () => {
      this.pageSize = Number(this.sizeSelect.value);
      this.goTo(Math.floor(this.offset / this.pageSize) * this.pageSize);
    });
    this.first = button(`First page of ${this.list.noun}`, "«");
    this.previous = button(`Previous page of ${this.list.noun}`, "‹");
    this.next = button(`Next page of ${this.list.noun}`, "›");
    this.first.addEventListener("click", () => this.goTo(0));
    this.previous.addEventListener("click", () => this.goTo(this.offset - this.pageSize));
    this.next.addEventListener("click", () => this.goTo(this.offset + this.pageSize));
    const turn = make("div", { class: "turn" }, this.first, this.previous, this.next);
    this.pager = make("div", { class: "pager" }, this.range, this.sizeSelect, turn);
    section.append(this.pager);
    show(this.pager, false);
  }

  sortBy(key, keepOrder = false) {
    if (key !== this.sort) this.order = key === "name" ? "asc" : "desc";
    else if (!keepOrder) this.order = this.order === "desc" ? "asc" : "desc";
    this.sort = key;
    this.drawOrder();
    this.goTo(0);
  }

  goTo(offset) {
    this.offset = Math.max(0, Math.min(offset, LISTED_MAX - this.pageSize));
    this.changed(this);
  }

  drawOrder() {
    this.headers.forEach((header, index) => {
      const column = this.list.columns[index];
      if (!column.sort) return;
      const here = column.sort === this.sort;
      const order = this.order === "desc" ? "descending" : "ascending";
      setAttribute(header, "aria-sort", here ? order : null);
    });
    this.sortSelect.value = this.sort;
    setText(this.orderButton, this.order === "desc" ? "↓" : "↑");
    const order = this.order === "desc" ? "largest first" : "smallest first";
    setAttribute(this.orderButton, "aria-label", `Reverse the order, now ${order}`);
  }

  makeRow() {
    const row = make("tr", { role: "row" });
    row.parts = this.list.columns.map((column) => {
      const cell = make("td", { role: "cell", "data-label": column.name });
      if (column.numeric) cell.className = "numeric";
      if (column.wide) cell.classList.add("wide");
      const parts = column.make();
      cell.append(...parts.elements);
      row.append(cell);
      return parts;
    });
    return row;
  }

  /** Shows an answer of the API. */
  set(answer) {
    this.total = answer.total;
    // The rows of this page are gone: go to the last page.
    if (answer.rows.length === 0 && answer.total > 0 && this.offset > 0) {
      const last = Math.floor((Math.min(answer.total, LISTED_MAX) - 1) / this.pageSize);
      if (last * this.pageSize < this.offset) return this.goTo(last * this.pageSize);
    }
    const context = this.list.context?.(answer.rows);
    pool(this.body, answer.rows.length, () => this.makeRow()).forEach((row, index) => {
      const data = answer.rows[index];
      this.list.columns.forEach((column, number) => column.fill(row.parts[number], data, context));
    });
    const any = answer.rows.length > 0;
    const cores = answer.unanswered_cores ?? [];
    show(this.scroll, any);
    show(this.emptyText, !any);
    setText(
      this.emptyText,
      any ? "" : cores.length > 0 ? "None on the cores that answered." : this.list.empty,
    );
    this.drawPager(answer);
    const names = cores.length === 1 ? `Core ${cores[0]}` : `Cores ${cores.join(", ")}`;
    const note = `${names} did not answer; this list does not include them.`;
    this.showNote(cores.length === 0 ? "" : note);
    return undefined;
  }

  drawPager(answer) {
    const { rows, offset, total } = answer;
    const end = offset + rows.length;
    const reach = Math.min(total, LISTED_MAX);
    show(this.pager, total > Math.min(...PAGE_SIZES));
    const limit =
      total > LISTED_MAX && end >= LISTED_MAX
        ? `, no more than ${count(LISTED_MAX)} are listed`
        : "";
    setText(
      this.range,
      rows.length === 0 ? "" : `${count(offset + 1)}–${count(end)} of ${count(total)}${limit}`,
    );
    this.first.disabled = offset === 0;
    this.previous.disabled = offset === 0;
    this.next.disabled = end >= reach;
  }

  /** Shows a note above the table; an empty text hides it. */
  showNote(text) {
    show(this.note, text !== "");
    setText(this.note, text);
  }
}
