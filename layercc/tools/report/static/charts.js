"use strict";
// The pictures of a profile: roofline, memory over the calls, threads over time.

(() => {
  const { amount, percent, seconds, showTip, hideTip } = report;
  const LEFT = 76;
  const RIGHT = 20;
  const TOP = 26;
  const BOTTOM = 44;

  /** An SVG as wide as its frame, drawn anew when that changes: `draw(svg, width)`. */
  function chart(frame, height, label, draw) {
    const svg = d3.select(frame).append("svg").attr("class", "chart").attr("height", height)
      .attr("role", "group").attr("aria-label", label);
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

  function axes(svg, width, height, { x, y, xTitle, yTitle, xFormat, yFormat, xTicks = 6, yTicks = 5, decadesOnly = false }) {
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - BOTTOM})`)
      .call(d3.axisBottom(x).ticks(xTicks).tickFormat(xFormat).tickSizeOuter(0));
    const lines = d3.axisLeft(y).ticks(yTicks);
    if (decadesOnly) lines.tickValues(y.ticks().filter((value) => Number.isInteger(Number(Math.log10(value).toFixed(9)))));
    svg.append("g").attr("class", "axis grid").attr("transform", `translate(${LEFT},0)`)
      .call(lines.tickFormat(yFormat).tickSizeOuter(0).tickSizeInner(-(width - LEFT - RIGHT)));
    svg.append("text").attr("class", "axis-title").attr("x", width - RIGHT).attr("y", height - 8).attr("text-anchor", "end").text(xTitle);
    svg.append("text").attr("class", "axis-title").attr("x", LEFT - 8).attr("y", 12).attr("text-anchor", "end").text(yTitle);
  }

  const decades = (format) => (value) => {
    const exponent = Math.log10(value);
    return Math.abs(exponent - Math.round(exponent)) < 1e-9 ? format(value) : "";
  };

  /** Calls by intensity and speed, under what the machine can do at most. */
  function drawRoofline(frame, profile, nodesOfCalls, models, go) {
    const points = profile.calls
      .map((call, index) => ({ call, node: nodesOfCalls[index], x: call.flops / call.bytes, y: call.flops / call.seconds }))
      .filter((point) => point.x > 0 && Number.isFinite(point.x) && point.y > 0 && Number.isFinite(point.y));
    if (!points.length) return false;
    const limits = profile.limits ?? {};
    const used = new Set(profile.calls.map((call) => call.dtype));
    const known = Object.entries(limits.flops ?? {});
    const peaks = known.some(([name]) => used.has(name)) ? known.filter(([name]) => used.has(name)) : known;
    const bandwidths = Object.entries(limits.bytes_per_second ?? {});
    const height = 400;
    chart(frame, height, "Roofline", (svg, width) => {
      svg.selectAll("*").remove();
      const top = d3.max([...points.map((p) => p.y), ...peaks.map(([, rate]) => rate)]);
      const ridge = peaks.length && bandwidths.length
        ? Math.max(...peaks.map(([, rate]) => rate)) / Math.min(...bandwidths.map(([, rate]) => rate)) : 1;
      const x = d3.scaleLog([Math.min(d3.min(points, (p) => p.x), 0.1) / 1.5, Math.max(d3.max(points, (p) => p.x), ridge * 3) * 1.5], [LEFT, width - RIGHT]);
      const y = d3.scaleLog([Math.min(d3.min(points, (p) => p.y), top / 1e3) / 1.5, top * 2], [height - BOTTOM, TOP]);
      axes(svg, width, height, {
        x, y, xTitle: "FLOP per byte moved", yTitle: "FLOP/s",
        xFormat: decades((v) => `${v}`), yFormat: (v) => amount(v, "FLOP/s"), decadesOnly: true,
      });
      const [begin, end] = x.domain();
      const low = y.domain()[0];
      const highest = peaks.length ? Math.max(...peaks.map(([, rate]) => rate)) : top * 2;
      const roofs = svg.append("g").attr("class", "roofs");
      for (const [name, rate] of bandwidths) {
        const from = Math.max(begin, low / rate);
        const to = Math.min(end, highest / rate);
        if (to <= from) continue;
        roofs.append("path").attr("class", "bandwidth").attr("d", d3.line()([[x(from), y(rate * from)], [x(to), y(rate * to)]]));
        const at = from * (to / from) ** 0.12;
        const slope = (Math.atan2(y(rate * to) - y(rate * from), x(to) - x(from)) * 180) / Math.PI;
        roofs.append("text").attr("transform", `translate(${x(at)},${y(rate * at) - 5}) rotate(${slope})`)
          .text(`${name} ${amount(rate, "B/s")}`);
      }
      for (const [name, rate] of peaks) {
        if (rate < low) continue;
        const first = bandwidths.length ? rate / Math.max(...bandwidths.map(([, found]) => found)) : begin;
        roofs.append("path").attr("class", "peak").attr("d", d3.line()([[x(Math.max(begin, first)), y(rate)], [x(end), y(rate)]]));
        roofs.append("text").attr("x", x(end) - 4).attr("y", y(rate) - 5).attr("text-anchor", "end").text(`${name} ${amount(rate, "FLOP/s")}`);
      }
      const most = d3.max(points, (p) => p.call.seconds);
      svg.append("g").selectAll("circle").data([...points].sort((a, b) => b.call.seconds - a.call.seconds)).join("circle")
        .attr("class", "point").attr("tabindex", 0).attr("role", "button")
        .attr("data-kind", (p) => (p.node[0] >= 0 ? models.before.nodes[p.node[0]].kind : null))
        .attr("aria-label", (p) => `${p.call.layer}, ${amount(p.y, "FLOP/s")}`)
        .attr("cx", (p) => x(p.x)).attr("cy", (p) => y(p.y))
        .attr("r", (p) => 3 + 11 * Math.sqrt(p.call.seconds / most))
        .on("mousemove", (event, p) => showTip(event, p.call.layer, [
          ["op", p.call.op], ["kernel", p.call.kernel], ["time", `${seconds(p.call.seconds)} · ${percent(p.call.share)}`],
          ["rate", amount(p.y, "FLOP/s")], ["intensity", `${p.x.toPrecision(3)} FLOP/B`],
          ...(p.call.limit_share ? [["of the limit", percent(p.call.limit_share)]] : []),
        ]))
        .on("mouseleave", hideTip)
        .on("click keydown", (event, p) => {
          if (event.type === "keydown" && event.key !== "Enter") return;
          if (p.node[0] >= 0) go("before", models.before.itemOf[p.node[0]]);
        });
    });
    return true;
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
      axes(svg, width, height, { x, y, xTitle: "call", yTitle: "address", xFormat: (v) => `${v}`, yFormat: (v) => amount(v, "B"), xTicks: 10 });
      svg.append("g").selectAll("rect").data(blocks).join("rect").attr("class", "block")
        .attr("x", (b) => x(b.first)).attr("width", (b) => Math.max(1, x(b.last + 1) - x(b.first) - 0.5))
        .attr("y", (b) => y(b.offset + b.bytes)).attr("height", (b) => Math.max(1, y(b.offset) - y(b.offset + b.bytes) - 0.5))
        .style("--heat", (b) => `${Math.round(25 + 65 * Math.sqrt(b.bytes / most))}%`)
        .on("mousemove", (event, b) => showTip(event, b.name, [
          ["size", amount(b.bytes, "B")], ["at", `byte ${b.offset}`],
          ["from", `call ${b.first}: ${profile.calls[b.first]?.layer ?? ""}`], ["to", `call ${b.last}: ${profile.calls[b.last]?.layer ?? ""}`],
        ]))
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
      const x = d3.scaleLinear([0, d3.max(events, (event) => event.end) - begin], [LEFT, width - RIGHT]);
      const lane = new Map(threads.map((thread, index) => [thread, TOP + index * row]));
      svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - BOTTOM})`)
        .call(d3.axisBottom(x).ticks(8).tickFormat((v) => (v ? seconds(v) : "0")).tickSizeOuter(0));
      svg.selectAll("text.lane").data(threads).join("text").attr("class", "lane").attr("x", LEFT - 8)
        .attr("y", (thread) => lane.get(thread) + 16).attr("text-anchor", "end").text((thread) => `thread ${thread}`);
      svg.append("g").selectAll("rect").data(events).join("rect").attr("class", "task")
        .attr("data-kind", (event) => {
          const node = nodesOfCalls[event.call]?.[0] ?? -1;
          return node >= 0 ? models.before.nodes[node].kind : null;
        })
        .attr("x", (event) => x(event.start - begin)).attr("width", (event) => Math.max(0.5, x(event.end - begin) - x(event.start - begin) - 0.3))
        .attr("y", (event) => lane.get(event.thread)).attr("height", row - 4)
        .on("mousemove", (pointer, event) => showTip(pointer, profile.calls[event.call]?.layer ?? "", [
          ["op", profile.calls[event.call]?.op ?? ""], ["time", seconds(event.end - event.start)],
        ]))
        .on("mouseleave", hideTip);
    });
    return true;
  }

  Object.assign(report, { chart, drawRoofline, drawMemory, drawThreads });
})();
