"use strict";
// Charts of a profile: what they have in common; memory over the calls, threads over time.

(() => {
  const { amount, percent, seconds, showTip, hideTip } = report;
  const LEFT = 76;
  const RIGHT = 20;
  const TOP = 26;
  const BOTTOM = 44;

  /** An SVG as wide as its frame, drawn anew when that changes: `draw(svg, width)`. */
  function chart(frame, height, label, draw) {
    const svg = d3
      .select(frame)
      .append("svg")
      .attr("class", "chart")
      .attr("height", height)
      .attr("role", "group")
      .attr("aria-label", label);
    let drawn = 0;
    const redraw = () => {
      const { width } = svg.node().getBoundingClientRect();
      if (!width || Math.abs(width - drawn) < 1) return;
      drawn = width;
      draw(svg, width);
    };
    new ResizeObserver(redraw).observe(svg.node());
    redraw();
  }

  function axes(
    svg,
    width,
    height,
    { x, y, xTitle, yTitle, xFormat, yFormat, xTicks = 6, yTicks = 5, decadesOnly = false },
  ) {
    svg
      .append("g")
      .attr("class", "axis")
      .attr("transform", `translate(0,${height - BOTTOM})`)
      .call(d3.axisBottom(x).ticks(xTicks).tickFormat(xFormat).tickSizeOuter(0));
    const lines = d3.axisLeft(y).ticks(yTicks);
    if (decadesOnly)
      lines.tickValues(
        y.ticks().filter((value) => Number.isInteger(Number(Math.log10(value).toFixed(9)))),
      );
    svg
      .append("g")
      .attr("class", "axis grid")
      .attr("transform", `translate(${LEFT},0)`)
      .call(
        lines
          .tickFormat(yFormat)
          .tickSizeOuter(0)
          .tickSizeInner(-(width - LEFT - RIGHT)),
      );
    svg
      .append("text")
      .attr("class", "axis-title")
      .attr("x", width - RIGHT)
      .attr("y", height - 8)
      .attr("text-anchor", "end")
      .text(xTitle);
    svg
      .append("text")
      .attr("class", "axis-title")
      .attr("x", LEFT - 8)
      .attr("y", 12)
      .attr("text-anchor", "end")
      .text(yTitle);
  }

  /** The arena: which bytes each value has, from its first call to its last. */
  function drawMemory(frame, profile) {
    const blocks = profile.memory ?? [];
    if (!blocks.length) return false;
    const height = 320;
    const count = profile.calls.length;
    const most = d3.max(blocks, (block) => block.bytes);
    chart(frame, height, "Memory over the calls", (svg, width) => {
      svg.selectAll("*").remove();
      const x = d3.scaleLinear([0, count], [LEFT, width - RIGHT]);
      const y = d3.scaleLinear([0, Math.max(profile.arena_bytes, 1)], [height - BOTTOM, TOP]);
      axes(svg, width, height, {
        x,
        y,
        xTitle: "call",
        yTitle: "address",
        xFormat: (v) => `${v}`,
        yFormat: (v) => amount(v, "B"),
        xTicks: 10,
      });
      svg
        .append("g")
        .selectAll("rect")
        .data(blocks)
        .join("rect")
        .attr("class", "block")
        .attr("x", (b) => x(b.first))
        .attr("width", (b) => Math.max(1, x(b.last + 1) - x(b.first) - 0.5))
        .attr("y", (b) => y(b.offset + b.bytes))
        .attr("height", (b) => Math.max(1, y(b.offset) - y(b.offset + b.bytes) - 0.5))
        .style("--heat", (b) => `${Math.round(25 + 65 * Math.sqrt(b.bytes / most))}%`)
        .on("mousemove", (event, b) =>
          showTip(event, b.name, [
            ["size", amount(b.bytes, "B")],
            ["at", `byte ${b.offset}`],
            ["from", `call ${b.first}: ${profile.calls[b.first]?.layer ?? ""}`],
            ["to", `call ${b.last}: ${profile.calls[b.last]?.layer ?? ""}`],
          ]),
        )
        .on("mouseleave", hideTip);
    });
    return true;
  }

  /** Which thread ran which task when, in one typical run. */
  function drawThreads(frame, profile, nodesOfCalls, models) {
    const events = profile.events ?? [];
    if (!events.length) return false;
    const threads = [...new Set(events.map((event) => event.thread))].sort((a, b) => a - b);
    const begin = d3.min(events, (event) => event.start);
    const row = 26;
    const height = TOP + threads.length * row + BOTTOM;
    chart(frame, height, "Threads over time", (svg, width) => {
      svg.selectAll("*").remove();
      const x = d3.scaleLinear(
        [0, d3.max(events, (event) => event.end) - begin],
        [LEFT, width - RIGHT],
      );
      const lane = new Map(threads.map((thread, index) => [thread, TOP + index * row]));
      svg
        .append("g")
        .attr("class", "axis")
        .attr("transform", `translate(0,${height - BOTTOM})`)
        .call(
          d3
            .axisBottom(x)
            .ticks(8)
            .tickFormat((v) => (v ? seconds(v) : "0"))
            .tickSizeOuter(0),
        );
      svg
        .selectAll("text.lane")
        .data(threads)
        .join("text")
        .attr("class", "lane")
        .attr("x", LEFT - 8)
        .attr("y", (thread) => lane.get(thread) + 16)
        .attr("text-anchor", "end")
        .text((thread) => `thread ${thread}`);
      svg
        .append("g")
        .selectAll("rect")
        .data(events)
        .join("rect")
        .attr("class", "task")
        .attr("data-kind", (event) => {
          const node = nodesOfCalls[event.call]?.[0] ?? -1;
          return node >= 0 ? models.before.nodes[node].kind : null;
        })
        .attr("x", (event) => x(event.start - begin))
        .attr("width", (event) =>
          Math.max(0.5, x(event.end - begin) - x(event.start - begin) - 0.3),
        )
        .attr("y", (event) => lane.get(event.thread))
        .attr("height", row - 4)
        .on("mousemove", (pointer, event) =>
          showTip(pointer, profile.calls[event.call]?.layer ?? "", [
            ["op", profile.calls[event.call]?.op ?? ""],
            ["time", seconds(event.end - event.start)],
          ]),
        )
        .on("mouseleave", hideTip);
    });
    return true;
  }

  Object.assign(report, {
    chart,
    axes,
    drawMemory,
    drawThreads,
    EDGES: { LEFT, RIGHT, TOP, BOTTOM },
  });
})();
