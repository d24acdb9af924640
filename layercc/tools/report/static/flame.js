"use strict";
// The time of a run by layer: an icicle of modules, layers and their kernel calls, in the order of
// the graph. A click enlarges.

(() => {
  const { element, percent, seconds } = report;
  const ROW = 24;
  const NARROWEST = 0.4; // pixels; narrower cells are not drawn

  function drawFlame(frame, model, calls, nodesOfCalls, go) {
    if (!calls.length) return false;
    const byNode = new Map();
    const others = [];
    calls.forEach((call, index) => {
      const [own] = nodesOfCalls[index];
      if (own < 0) others.push(call);
      else byNode.set(own, [...(byNode.get(own) ?? []), call]);
    });
    const ownName = (item) =>
      item.parent === model.root ? item.name : item.name.split("/").at(-1);
    const leafOf = (call) => ({ name: call.kernel, call, value: call.seconds });
    const cell = (item) => {
      const own = item.node >= 0 ? (byNode.get(item.node) ?? []).map(leafOf) : [];
      const inner = item.isBox ? item.items.map(cell).filter(Boolean) : [];
      if (!own.length && !inner.length) return null;
      return {
        name: item.node >= 0 ? ownName(item) : item.name,
        item,
        node: item.node,
        children: [...inner, ...own],
      };
    };
    const top = { name: model.name, children: model.root.items.map(cell).filter(Boolean) };
    if (others.length) top.children.push({ name: "made by passes", children: others.map(leafOf) });
    const root = d3.partition()(d3.hierarchy(top).sum((d) => d.value ?? 0));
    const depth = root.height + 1;
    const path = element("p", { className: "crumbs" });
    frame.append(path);
    let shown = root;
    let svg = null;

    const kindOf = (d) => {
      for (let at = d; at; at = at.parent)
        if (at.data.node >= 0) return model.nodes[at.data.node].kind;
      return null;
    };

    function draw(width) {
      const scale = d3.scaleLinear([shown.x0, shown.x1], [0, width]);
      const cells = root
        .descendants()
        .filter((d) => d.x1 > shown.x0 && d.x0 < shown.x1 && scale(d.x1) - scale(d.x0) > NARROWEST);
      const groups = svg
        .selectAll("g.cell")
        .data(cells, (d) =>
          d
            .ancestors()
            .map((a) => a.parent?.children.indexOf(a) ?? 0)
            .join("."),
        )
        .join((enter) => {
          const group = enter.append("g").attr("tabindex", 0).attr("role", "button");
          group
            .append("rect")
            .attr("height", ROW - 1)
            .attr("rx", 2);
          group.append("text").attr("x", 5).attr("y", 16);
          return group;
        });
      const left = (d) => Math.max(0, scale(d.x0));
      const wide = (d) => Math.min(width, scale(d.x1)) - left(d);
      groups
        .attr(
          "class",
          (d) => `cell ${d.data.call ? "call" : d.data.node >= 0 ? "layer" : "module"}`,
        )
        .attr("data-kind", kindOf)
        .attr("transform", (d) => `translate(${left(d)},${d.depth * ROW})`)
        .attr(
          "aria-label",
          (d) => `${d.data.name}, ${seconds(d.value)}, ${percent(d.value / root.value)}`,
        );
      groups.select("rect").attr("width", (d) => Math.max(0.5, wide(d) - 1));
      groups.select("text").text((d) => {
        const room = Math.floor((wide(d) - 10) / 6.4);
        return room < 3 ? "" : report.elided(d.data.name, room);
      });
      groups
        .on("mousemove", (event, d) => report.showTip(event, d.data.name, rowsOf(d)))
        .on("mouseleave", report.hideTip)
        .on("click", (_, d) => enlarge(d))
        .on("keydown", (event, d) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          enlarge(d);
        });
      const crumbs = shown
        .ancestors()
        .reverse()
        .map((d) =>
          element(
            "button",
            { className: "link", type: "button", onclick: () => enlarge(d) },
            report.elided(d.data.name, 50),
          ),
        );
      path.replaceChildren(
        ...crumbs,
        element(
          "span",
          { className: "muted" },
          `${seconds(shown.value)} · ${percent(shown.value / root.value)}`,
        ),
      );
      if (shown.data.item) {
        path.append(
          element(
            "button",
            { className: "link", type: "button", onclick: () => go(model.side, shown.data.item) },
            "show in the graph",
          ),
        );
      }
    }

    function rowsOf(d) {
      const rows = [["time", `${seconds(d.value)} · ${percent(d.value / root.value)}`]];
      const { call } = d.data;
      if (call) rows.push(["op", call.op], ["algorithm", call.algorithm || "–"]);
      if (call?.limit_share) rows.push(["of the limit", percent(call.limit_share)]);
      return rows;
    }

    function enlarge(d) {
      report.hideTip();
      shown = d.children ? d : (d.parent ?? d);
      draw(svg.node().getBoundingClientRect().width);
    }

    report.chart(frame, depth * ROW, "Time by layer", (made, width) => {
      svg = made.classed("flame", true);
      draw(width);
    });
    return true;
  }

  report.drawFlame = drawFlame;
})();
