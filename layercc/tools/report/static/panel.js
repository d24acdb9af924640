"use strict";
// What is known of the thing that is selected, beside the graph.

(() => {
  const { element, amount, percent, seconds } = report;

  const section = (title, ...children) =>
    element("section", {}, element("h3", {}, title), ...children);

  const pairs = (rows) =>
    element(
      "dl",
      {},
      ...rows.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]),
    );

  const link = (text, act, title = "") =>
    element("button", { className: "link", type: "button", title, onclick: act }, text);

  class Panel {
    /** `go(side, item id)` shows an item of one of the graphs. `models`: by side. */
    constructor(frame, models, links, go) {
      this.frame = frame;
      this.models = models;
      this.links = links;
      this.go = go;
    }

    show(model, chosen) {
      const parts = chosen ? this.#of(model, chosen) : this.#overview(model);
      this.frame.replaceChildren(...parts.filter(Boolean));
      this.frame.scrollTop = 0;
    }

    #of(model, chosen) {
      if (!chosen.item) return this.#values(model, chosen.values, chosen.end);
      return chosen.item.node >= 0
        ? this.#node(model, chosen.item)
        : this.#module(model, chosen.item);
    }

    #heading(kind, name, path) {
      return element(
        "header",
        {},
        element("p", { className: "path" }, path.join(" › ")),
        element("h2", {}, kind),
        element("p", { className: "name" }, name),
      );
    }

    #overview(model) {
      const values = (numbers) =>
        pairs(numbers.map((n) => [model.values[n].name, model.values[n].type ?? "?"]));
      return [
        this.#heading("Model", model.name, [
          model.side === "before" ? "as imported" : "after passes",
        ]),
        section("Summary", pairs(report.data.summary)),
        section("Inputs", values(model.inputs)),
        section("Outputs", values(model.outputs)),
        element(
          "p",
          { className: "hint" },
          "Click a module to open it, its title to close it. Arrows walk along edges, / searches.",
        ),
      ];
    }

    #values(model, numbers, end) {
      return [
        this.#heading(
          end === "inputs" ? "Input" : "Output",
          numbers.length > 1 ? `${numbers.length} tensors` : "",
          [],
        ),
        ...numbers.map((number, position) =>
          this.#tensor(model, number, position, end === "outputs"),
        ),
      ];
    }

    #module(model, item) {
      const time = model.sum(item, "seconds");
      const ops = d3.rollups(
        [...model.nodesIn(item)],
        (group) => group.length,
        (node) => model.nodes[node].title,
      );
      const rows = [
        ["nodes", String(item.count)],
        ["parameters", item.sums.parameters[0]],
        ["work", item.sums.work[0]],
        ["activations", item.sums.activations[0]],
      ];
      if (time)
        rows.push([
          "time",
          `${seconds(time)} (${percent(time / model.sum(model.root, "seconds"))})`,
        ]);
      return [
        this.#heading(item.run ? "Neighbours" : "Module", item.name, model.pathOf(item)),
        ...this.#problems(model, item),
        section("Sums", pairs(rows)),
        section(
          "Ops",
          pairs(ops.sort((a, b) => b[1] - a[1]).map(([op, count]) => [op, String(count)])),
        ),
      ];
    }

    #node(model, item) {
      const node = model.nodes[item.node];
      const costs = ["parameters", "work", "activations"]
        .filter((name) => node[name] && node[name][0] !== "0" && node[name][1] !== 0)
        .map((name) => [name, node[name][0]]);
      return [
        this.#heading(node.title, node.name, model.pathOf(item)),
        ...this.#problems(model, item),
        node.attributes.length ? section("Attributes", pairs(node.attributes)) : null,
        node.inputs.length
          ? section("Inputs", ...node.inputs.map((n, i) => this.#tensor(model, n, i, true)))
          : null,
        section("Outputs", ...node.outputs.map((n, i) => this.#tensor(model, n, i, false))),
        costs.length ? section("Cost", pairs(costs)) : null,
        this.#time(model, item),
        this.#partners(model, item),
        node.source
          ? section("Source", element("p", { className: "mono small" }, node.source))
          : null,
      ];
    }

    #tensor(model, number, position, isInput) {
      if (number < 0) return element("div", { className: "tensor absent" }, `${position}: absent`);
      const value = model.values[number];
      const box = element(
        "div",
        { className: "tensor" },
        element("div", { className: "mono type" }, value.type ?? "?"),
        element("div", { className: "name" }, value.name),
      );
      const { constant } = value;
      if (constant) {
        box.append(
          element(
            "details",
            {},
            element("summary", {}, `constant, ${constant.bytes}`),
            pairs(constant.statistics),
            element("p", { className: "mono small" }, constant.elements),
          ),
        );
      } else if (isInput && value.maker >= 0) box.append(this.#nodes(model, [value.maker], "from"));
      else if (!isInput && value.readers.length)
        box.append(this.#nodes(model, value.readers, "to"));
      return box;
    }

    #nodes(model, numbers, label = "") {
      const shown = numbers.slice(0, 12).map((n) => {
        const { title, name } = model.nodes[n];
        return link(
          `${title} ${name}`,
          () => this.go(model.side, model.itemOf[n]),
          "Show this node",
        );
      });
      const rest = numbers.length - shown.length;
      return element(
        "div",
        { className: "links" },
        label ? element("span", {}, label) : null,
        ...shown,
        rest > 0 ? element("span", {}, `and ${rest} more`) : null,
      );
    }

    #problems(model, item) {
      return model.problemsIn(item).map((problem) => report.problemCard(problem));
    }

    #time(model, item) {
      const time = model.sum(item, "seconds");
      const calls = model.calls.get(item.node) ?? [];
      if (!calls.length) return null;
      const rows = [
        ["time", `${seconds(time)} (${percent(time / model.sum(model.root, "seconds"))})`],
      ];
      for (const call of calls.slice(0, 6)) {
        rows.push(["kernel", call.kernel]);
        if (call.algorithm) rows.push(["algorithm", call.algorithm]);
        rows.push(["call", `${seconds(call.seconds)}, ${call.tasks} tasks`]);
        if (call.flops && call.seconds)
          rows.push(["rate", amount(call.flops / call.seconds, "FLOP/s")]);
        if (call.limit_share) rows.push(["of the limit", percent(call.limit_share)]);
      }
      return section("Profile", pairs(rows));
    }

    #partners(model, item) {
      const other = this.models[model.side === "before" ? "after" : "before"];
      if (!other) return null;
      const numbers = this.links.of(model.side, item.node);
      const title = model.side === "before" ? "After passes" : "As imported";
      if (!numbers.length) {
        if (model.side === "before" && model.nodes[item.node].around >= 0) return null;
        const none =
          model.side === "before"
            ? "Nothing is left of it: it was constant, or not needed."
            : "Made by a pass.";
        return section(title, element("p", {}, none));
      }
      return section(title, this.#nodes(other, numbers));
    }
  }

  report.Panel = Panel;
})();
