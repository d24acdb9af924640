"use strict";
// The search field above the graph: nodes by name and op, tensors, modules.

(() => {
  const MOST = 60;

  /** `models()` gives the graphs that are shown; `go(side, item)` shows what was chosen. */
  function setUpSearch(field, list, models, go) {
    let found = [];
    let active = 0;

    const close = () => {
      list.hidden = true;
      field.setAttribute("aria-expanded", "false");
    };

    const choose = (index) => {
      const hit = found[index];
      if (!hit) return;
      close();
      go(hit.model.side, hit.item);
    };

    const mark = () => {
      [...list.children].forEach((row, index) => {
        row.setAttribute("aria-selected", String(index === active));
        if (index === active) row.scrollIntoView({ block: "nearest" });
      });
    };

    const show = () => {
      const wanted = field.value.trim().toLowerCase();
      found = wanted
        ? models()
            .flatMap((model) => matches(model, wanted))
            .slice(0, MOST)
        : [];
      active = 0;
      const several = models().length > 1;
      list.replaceChildren(
        ...found.map((hit, index) =>
          report.element(
            "li",
            {
              role: "option",
              onmousedown: (event) => {
                event.preventDefault();
                choose(index);
              },
            },
            report.element("span", { className: "what" }, hit.what),
            report.element("span", { className: "name" }, hit.name),
            several ? report.element("span", { className: "side" }, hit.model.side) : null,
          ),
        ),
      );
      if (wanted && !found.length)
        list.append(report.element("li", { className: "none" }, "nothing found"));
      list.hidden = !wanted;
      field.setAttribute("aria-expanded", String(Boolean(wanted)));
      mark();
    };

    field.addEventListener("input", show);
    field.addEventListener("focus", show);
    field.addEventListener("blur", close);
    field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") active = Math.min(active + 1, found.length - 1);
      else if (event.key === "ArrowUp") active = Math.max(active - 1, 0);
      else if (event.key === "Enter") return choose(active);
      else if (event.key === "Escape") {
        field.value = "";
        close();
        return field.blur();
      } else return undefined;
      event.preventDefault();
      return mark();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.closest("input, select, textarea")) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    });
  }

  function matches(model, wanted) {
    const has = (text) => text.toLowerCase().includes(wanted);
    const hits = [];
    for (const box of model.boxes) {
      if (box.node < 0 && box !== model.root && has(box.name)) {
        hits.push({ model, item: box, what: box.run ? "run" : "module", name: box.name });
      }
    }
    model.nodes.forEach((node, number) => {
      if (has(node.name) || has(node.op) || has(node.title)) {
        hits.push({ model, item: model.itemOf[number], what: node.title, name: node.name });
      }
    });
    for (const value of model.values) {
      const node = value.maker >= 0 ? value.maker : value.readers[0];
      if (node !== undefined && has(value.name) && model.nodes[node].name !== value.name) {
        hits.push({
          model,
          item: model.itemOf[node],
          what: value.constant ? "constant" : "tensor",
          name: value.name,
        });
      }
    }
    return hits;
  }

  report.setUpSearch = setUpSearch;
})();
