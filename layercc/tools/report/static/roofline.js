"use strict";
// The roofline: kernel calls by arithmetic intensity and speed, under what the machine can do.

(() => {
  const { amount, percent, seconds, showTip, hideTip, chart, axes } = report;
  const { LEFT, RIGHT, TOP, BOTTOM } = report.EDGES;
  const HEIGHT = 400;

  const decade = (value) => (Number.isInteger(Number(Math.log10(value).toFixed(9))) ? value : "");

  /** `nodesOfCalls`: for each call its nodes on both sides. Whether there was anything to draw. */
  function drawRoofline(frame, profile, nodesOfCalls, models, go) {
    const points = profile.calls
      .map((call, index) => ({
        call,
        node: nodesOfCalls[index][0],
        x: call.flops / call.bytes,
        y: call.flops / call.seconds,
      }))
      .filter(({ x, y }) => x > 0 && y > 0 && Number.isFinite(x) && Number.isFinite(y));
    if (!points.length) return false;
    points.sort((a, b) => b.call.seconds - a.call.seconds); // the small ones on top
    const limits = limitsOf(profile);
    chart(frame, HEIGHT, "Roofline", (svg, width) => {
      svg.selectAll("*").remove();
      const { x, y } = scales(points, limits, width);
      axes(svg, width, HEIGHT, {
        x,
        y,
        xTitle: "FLOP per byte moved",
        yTitle: "FLOP/s",
        xFormat: decade,
        yFormat: (value) => amount(value, "FLOP/s"),
        decadesOnly: true,
      });
      drawRoofs(svg.append("g").attr("class", "roofs"), limits, x, y);
      drawPoints(svg.append("g"), points, x, y, models.before, go);
    });
    return true;
  }

  /** The limits as `[name, rate]`: of memories, and of the element types that calls have. */
  function limitsOf(profile) {
    const { flops = {}, bytes_per_second: bandwidths = {} } = profile.limits ?? {};
    const used = new Set(profile.calls.map((call) => call.dtype));
    const known = Object.entries(flops);
    const peaks = known.filter(([name]) => used.has(name));
    return { peaks: peaks.length ? peaks : known, bandwidths: Object.entries(bandwidths) };
  }

  const rateOf = ([, rate]) => rate;

  function scales(points, { peaks, bandwidths }, width) {
    const highest = d3.max([...points.map((p) => p.y), ...peaks.map(rateOf)]);
    const lowest = Math.min(d3.min(points.map((p) => p.y)), highest / 1e3);
    const left = Math.min(d3.min(points.map((p) => p.x)), 0.1);
    const known = peaks.length && bandwidths.length;
    const ridge = known ? d3.max(peaks, rateOf) / d3.min(bandwidths, rateOf) : 1;
    const right = Math.max(d3.max(points.map((p) => p.x)), 3 * ridge);
    return {
      x: d3.scaleLog([left / 1.5, right * 1.5], [LEFT, width - RIGHT]),
      y: d3.scaleLog([lowest / 1.5, highest * 2], [HEIGHT - BOTTOM, TOP]),
    };
  }

  function drawRoofs(layer, { peaks, bandwidths }, x, y) {
    const [begin, end] = x.domain();
    const [low, high] = y.domain();
    const roof = peaks.length ? d3.max(peaks, rateOf) : high;
    const line = (name, from, to) =>
      layer
        .append("path")
        .attr("class", name)
        .attr("d", d3.line()([from, to]));
    for (const [name, rate] of bandwidths) {
      const from = Math.max(begin, low / rate);
      const to = Math.min(end, roof / rate);
      if (to <= from) continue;
      line("bandwidth", [x(from), y(rate * from)], [x(to), y(rate * to)]);
      const at = from * (to / from) ** 0.12;
      const slope = Math.atan2(y(rate * to) - y(rate * from), x(to) - x(from)) * (180 / Math.PI);
      layer
        .append("text")
        .attr("transform", `translate(${x(at)},${y(rate * at) - 5}) rotate(${slope})`)
        .text(`${name} ${amount(rate, "B/s")}`);
    }
    for (const [name, rate] of peaks) {
      if (rate < low) continue;
      const first = bandwidths.length ? rate / d3.max(bandwidths, rateOf) : begin;
      line("peak", [x(Math.max(begin, first)), y(rate)], [x(end), y(rate)]);
      layer
        .append("text")
        .attr("x", x(end) - 4)
        .attr("y", y(rate) - 5)
        .attr("text-anchor", "end")
        .text(`${name} ${amount(rate, "FLOP/s")}`);
    }
  }

  function drawPoints(layer, points, x, y, model, go) {
    const most = points[0].call.seconds;
    layer
      .selectAll("circle")
      .data(points)
      .join("circle")
      .attr("class", "point")
      .attr("tabindex", 0)
      .attr("role", "button")
      .attr("data-kind", ({ node }) => (node >= 0 ? model.nodes[node].kind : null))
      .attr("aria-label", (p) => `${p.call.layer}, ${amount(p.y, "FLOP/s")}`)
      .attr("cx", (p) => x(p.x))
      .attr("cy", (p) => y(p.y))
      .attr("r", (p) => 3 + 11 * Math.sqrt(p.call.seconds / most))
      .on("mousemove", (event, p) => showTip(event, p.call.layer, rowsOf(p)))
      .on("mouseleave", hideTip)
      .on("click keydown", (event, { node }) => {
        if (event.type === "keydown" && event.key !== "Enter") return;
        if (node >= 0) go(model.side, model.itemOf[node]);
      });
  }

  function rowsOf({ call, x, y }) {
    const rows = [
      ["op", call.op],
      ["kernel", call.kernel],
      ["time", `${seconds(call.seconds)} · ${percent(call.share)}`],
      ["rate", amount(y, "FLOP/s")],
      ["intensity", `${x.toPrecision(3)} FLOP/B`],
    ];
    if (call.limit_share) rows.push(["of the limit", percent(call.limit_share)]);
    return rows;
  }

  report.drawRoofline = drawRoofline;
})();
