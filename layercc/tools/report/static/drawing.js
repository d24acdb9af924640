"use strict";
// Draws what a layout has placed, as SVG: areas of open boxes, edges, titles, cards and pills.

(() => {
  const { amount, percent, seconds } = report;
  const CORNER = 6;

  /** An orthogonal way with round corners. */
  function way(points) {
    const path = d3.path();
    path.moveTo(points[0].x, points[0].y);
    for (let i = 1; i < points.length - 1; i += 1) {
      const [before, corner, after] = points.slice(i - 1, i + 2);
      const reach = Math.min(CORNER, distance(before, corner) / 2, distance(corner, after) / 2);
      path.arcTo(corner.x, corner.y, after.x, after.y, reach);
    }
    const last = points.at(-1);
    path.lineTo(last.x, last.y);
    return path.toString();
  }

  function distance(a, b) {
    return Math.hypot(a.x - b.x, a.y - b.y);
  }

  function drawEdges(layer, edges, model) {
    layer
      .selectAll("path")
      .data(edges, (edge) => edge.id)
      .join("path")
      .attr("d", (edge) => way(edge.points))
      .attr("marker-end", `url(#arrow-${model.side})`)
      .on("mousemove", (event, edge) => report.showTip(event, ...tensorsOf(edge, model)))
      .on("mouseleave", report.hideTip);
  }

  function tensorsOf(edge, model) {
    const { values } = edge;
    const rows = values.slice(0, 8).map((number) => model.values[number]);
    return [
      values.length === 1 ? "Tensor" : `${values.length} tensors`,
      rows.map((value) => [report.elided(value.name, 60), value.type ?? "?"]),
    ];
  }

  /** Areas lie below the edges, titles above. */
  function drawAreas(layer, boxes) {
    layer
      .selectAll("rect.box")
      .data(boxes, (box) => box.id)
      .join("rect")
      .attr("class", "box")
      .attr("rx", 10)
      .attr("x", (box) => box.x)
      .attr("y", (box) => box.y)
      .attr("width", (box) => box.width)
      .attr("height", (box) => box.height);
  }

  function drawHeads(layer, boxes, model) {
    const head = layer
      .selectAll("g.head")
      .data(boxes, (box) => box.id)
      .join((enter) => {
        const group = enter
          .append("g")
          .attr("class", "head")
          .attr("tabindex", 0)
          .attr("role", "button");
        group.append("rect").attr("height", 26).attr("rx", 10);
        group.append("text").attr("class", "fold").attr("x", 12).attr("y", 17).text("−");
        group.append("text").attr("class", "title").attr("x", 32).attr("y", 17);
        return group;
      });
    head
      .attr("transform", (box) => `translate(${box.x},${box.y})`)
      .attr("aria-label", (box) => `Fold ${box.item.name}`)
      .attr("aria-expanded", "true");
    head.select("rect").attr("width", (box) => box.width);
    head.select("text.title").text((box) => report.elided(boxName(model, box.item), 60));
    return head;
  }

  function boxName(model, item) {
    return item.node >= 0 ? `${model.nodes[item.node].title}  ${item.name}` : item.name;
  }

  /** Cards of nodes and closed boxes, pills of inputs and outputs. */
  function drawItems(layer, items, model) {
    const groups = layer
      .selectAll("g.item")
      .data(items, (d) => d.id)
      .join((enter) => {
        const group = enter.append("g").attr("tabindex", 0).attr("role", "button");
        group
          .filter((d) => d.item?.isBox)
          .append("rect")
          .attr("class", "behind")
          .attr("rx", 7);
        group.append("rect").attr("class", "face");
        group.append("rect").attr("class", "stripe");
        group.append("text").attr("class", "title");
        group.append("text").attr("class", "detail");
        group
          .filter((d) => d.item?.isBox)
          .append("text")
          .attr("class", "fold")
          .text("+");
        return group;
      });
    groups.attr(
      "class",
      (d) => `item ${d.item ? "card" : `pill ${d.end}`} ${d.item?.isBox ? "closed" : ""}`,
    );
    groups.attr("transform", (d) => `translate(${d.x},${d.y})`);
    groups.attr("aria-label", (d) => spoken(d));
    groups.attr("aria-expanded", (d) => (d.item?.isBox ? "false" : null));
    groups
      .select("rect.behind")
      .attr("x", 4)
      .attr("y", 4)
      .attr("width", (d) => d.width)
      .attr("height", (d) => d.height);
    groups
      .select("rect.face")
      .attr("width", (d) => d.width)
      .attr("height", (d) => d.height)
      .attr("rx", (d) => (d.item ? 7 : d.height / 2));
    groups
      .select("rect.stripe")
      .attr("width", 4)
      .attr("height", (d) => d.height - 12)
      .attr("x", 5)
      .attr("y", 6)
      .attr("rx", 2);
    groups
      .select("text.title")
      .text((d) => d.title)
      .attr("y", (d) => (d.detail ? 17 : d.height / 2 + 4))
      .attr("x", (d) => (d.item ? 16 : d.width / 2));
    groups
      .select("text.detail")
      .text((d) => d.detail)
      .attr("y", 33)
      .attr("x", (d) => (d.item ? 16 : d.width / 2));
    groups
      .select("text.fold")
      .attr("x", (d) => d.width - 16)
      .attr("y", (d) => d.height / 2 + 5);
    groups.on("mousemove", (event, d) => tipOf(event, d, model)).on("mouseleave", report.hideTip);
    return groups;
  }

  function spoken(d) {
    if (!d.item) return `${d.end}: ${d.title}`;
    return d.item.node >= 0
      ? `${d.title} ${d.item.name}`
      : `Unfold ${d.item.name}, ${d.item.count} nodes`;
  }

  function tipOf(event, d, model) {
    if (!d.item) return report.showTip(event, d.title, d.detail ? [["type", d.detail]] : []);
    const rows = [];
    const work = model.sum(d.item, "work");
    const time = model.sum(d.item, "seconds");
    if (work) rows.push(["work", amount(work, "FLOP")]);
    if (time)
      rows.push(["time", `${seconds(time)} · ${percent(time / model.sum(model.root, "seconds"))}`]);
    for (const problem of model.problemsIn(d.item).slice(0, 3))
      rows.push([problem.severity, report.elided(problem.message, 240)]);
    return report.showTip(event, d.item.name, rows);
  }

  Object.assign(report, { drawEdges, drawAreas, drawHeads, drawItems });
})();
