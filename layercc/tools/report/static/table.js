"use strict";
// Tables that are sorted by a click on a title and searched by a field above them.

(() => {
  const { element } = report;
  const MOST_ROWS = 3000;

  class Table {
    /** `columns`: `{title, text(row), value(row), number, wide, cell(row)}`. `rows`: objects; where
        `tree` is given, rows have `children`, `open` and `depth`, and are shown as a tree until
        they are sorted or searched. `foot`: the cells of the last row. */
    constructor(
      frame,
      { columns, rows, label, tree = null, foot = null, sort = null, rowClass = () => "" },
    ) {
      Object.assign(this, { columns, rows, tree, foot, rowClass, sort });
      this.query = "";
      this.field = element("input", {
        type: "search",
        placeholder: "Filter rows",
        "aria-label": `Filter ${label}`,
        oninput: () => {
          this.query = this.field.value.trim().toLowerCase();
          this.draw();
        },
      });
      this.counter = element("span", { className: "counter" });
      this.tools = element("div", { className: "tools" }, this.field, this.counter);
      if (tree) {
        const fold = (open) => () => {
          this.#each(tree, (row) => {
            row.open = open;
          });
          this.sort = null;
          this.draw();
        };
        this.tools.append(
          element(
            "div",
            { className: "segments" },
            element("button", { onclick: fold(true) }, "Unfold all"),
            element("button", { onclick: fold(false) }, "Fold all"),
          ),
        );
      }
      this.head = element(
        "thead",
        {},
        element("tr", {}, ...columns.map((column, index) => this.#title(column, index))),
      );
      this.body = element("tbody");
      const table = element("table", { "aria-label": label }, this.head, this.body);
      if (foot) {
        table.append(
          element(
            "tfoot",
            {},
            element(
              "tr",
              {},
              ...foot.map((text, index) =>
                element("td", { className: columns[index].number ? "number" : "" }, text),
              ),
            ),
          ),
        );
      }
      frame.append(this.tools, element("div", { className: "scroll" }, table));
      this.draw();
    }

    #title(column, index) {
      const button = element(
        "button",
        { type: "button", onclick: () => this.#sortBy(index) },
        column.title,
      );
      return element(
        "th",
        { scope: "col", className: column.number ? "number" : "", title: column.help ?? "" },
        button,
      );
    }

    #sortBy(index) {
      const { number } = this.columns[index];
      const first = number ? -1 : 1;
      if (this.sort?.index !== index) this.sort = { index, direction: first };
      else if (this.sort.direction === first) this.sort = { index, direction: -first };
      else this.sort = null;
      this.draw();
    }

    #each(rows, act) {
      for (const row of rows) {
        act(row);
        if (row.children) this.#each(row.children, act);
      }
    }

    #shown() {
      if (this.tree && !this.sort && !this.query) {
        const shown = [];
        const add = (rows) => {
          for (const row of rows) {
            shown.push(row);
            if (row.children && row.open) add(row.children);
          }
        };
        add(this.tree);
        return shown;
      }
      let shown = this.rows;
      if (this.query) {
        shown = shown.filter((row) =>
          this.columns.some((column) => column.text(row).toLowerCase().includes(this.query)),
        );
      }
      if (this.sort) {
        const { index, direction } = this.sort;
        const { value } = this.columns[index];
        const empty = (found) => found === null || found === undefined || found === "";
        shown = [...shown].sort((one, two) => {
          const [a, b] = [value(one), value(two)];
          if (empty(a) || empty(b)) return Number(empty(a)) - Number(empty(b));
          return (
            direction *
            (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b)
          );
        });
      }
      return shown;
    }

    draw() {
      const shown = this.#shown();
      const flat = !this.tree || Boolean(this.sort) || Boolean(this.query);
      const cells = (row) =>
        this.columns.map((column) => {
          const content = column.cell ? column.cell(row, flat, this) : column.text(row);
          return element(
            "td",
            { className: column.number ? "number" : column.wide ? "wide" : "" },
            content,
          );
        });
      this.body.replaceChildren(
        ...shown
          .slice(0, MOST_ROWS)
          .map((row) => element("tr", { className: this.rowClass(row) }, ...cells(row))),
      );
      const cut = shown.length > MOST_ROWS ? `, the first ${MOST_ROWS} shown` : "";
      this.counter.textContent = flat
        ? `${shown.length} of ${this.rows.length} rows${cut}`
        : `${this.rows.length} rows, folded by module`;
      [...this.head.rows[0].cells].forEach((cell, index) => {
        const order =
          this.sort?.index === index
            ? this.sort.direction > 0
              ? "ascending"
              : "descending"
            : "none";
        cell.setAttribute("aria-sort", order);
      });
    }
  }

  report.Table = Table;
})();
