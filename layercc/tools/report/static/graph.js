"use strict";
// The view of one graph: zoomed, moved, opened and closed; what is selected in it.

(() => {
  class GraphView {
    /** Draws `model` into `frame`. `chosen(item or value pill)` is called for what is clicked. */
    constructor(frame, model, chosen) {
      this.model = model;
      this.chosen = chosen;
      this.across = false;
      this.engine = new report.Engine();
      this.colour = "kind";
      this.selected = null;
      this.partners = new Set();
      this.places = new Map();
      this.drawn = null;
      this.svg = d3
        .select(frame)
        .append("svg")
        .attr("class", "graph")
        .attr("tabindex", 0)
        .attr("role", "application")
        .attr("aria-label", `Graph ${model.side === "before" ? "as imported" : "after passes"}`);
      const marker = this.svg
        .append("defs")
        .append("marker")
        .attr("id", `arrow-${model.side}`)
        .attr("viewBox", "0 0 8 8")
        .attr("refX", 7)
        .attr("refY", 4)
        .attr("markerWidth", 9)
        .attr("markerHeight", 9)
        .attr("markerUnits", "userSpaceOnUse")
        .attr("orient", "auto");
      marker.append("path").attr("d", "M0,0.8 L7.4,4 L0,7.2 z");
      this.stage = this.svg.append("g");
      this.layers = ["boxes", "edges", "heads", "cards"].map((name) =>
        this.stage.append("g").attr("class", name),
      );
      this.zoom = d3
        .zoom()
        .scaleExtent([0.02, 3])
        .on("zoom", (event) => {
          this.stage.attr("transform", event.transform);
          this.svg.classed("far", event.transform.k < 0.45);
        });
      this.svg.call(this.zoom).on("dblclick.zoom", null);
      this.svg.on("click", (event) => {
        if (event.target === this.svg.node()) this.chosen(null);
      });
      this.busy = report.element("div", { className: "busy", role: "status" }, "Laying out…");
      frame.append(this.busy);
      this.busy.hidden = true;
    }

    /** Lays out and draws anew, and shows it from its begin. */
    async restart(remark = "") {
      this.started = false;
      await this.update();
      this.busy.hidden = this.busy.hidden && !remark;
      if (remark) this.busy.textContent = remark;
    }

    /** Lays out and draws anew. What `anchor` names stays where it is on the screen. */
    async update(anchor = null) {
      const kept = anchor && this.places.get(anchor);
      const waiting = setTimeout(() => {
        this.busy.hidden = false;
      }, 150);
      const turn = (this.turn = (this.turn ?? 0) + 1);
      let found = null;
      let failure = "";
      try {
        found = await report.layout(this.engine, this.model, this.across);
      } catch (error) {
        failure = `The graph cannot be laid out: ${error.message}`;
      }
      clearTimeout(waiting);
      if (turn !== this.turn) return; // something newer took its place
      this.busy.hidden = !failure;
      this.busy.textContent = failure || "Laying out…";
      if (failure) return;
      this.drawn = found;
      this.places = new Map([...found.cards, ...found.boxes, ...found.pills].map((p) => [p.id, p]));
      this.#draw();
      const now = kept && this.places.get(anchor);
      if (now) {
        const at = d3.zoomTransform(this.svg.node());
        this.svg.call(this.zoom.transform, at.translate(kept.x - now.x, kept.y - now.y));
      } else this.startIfNew();
    }

    /** The first view; also later, where there was no room for one when the graph was laid out. */
    startIfNew() {
      if (!this.started) this.start();
    }

    /** The view in which a graph is opened: readable, from its begin. */
    start() {
      const { width, height } = this.svg.node().getBoundingClientRect();
      this.started = Boolean(this.drawn && width);
      if (!this.started) return;
      const whole = Math.min(width / this.drawn.width, height / this.drawn.height);
      const side = this.across ? height / this.drawn.height : width / this.drawn.width;
      const scale = Math.max(Math.min(whole, 1.1), Math.min(1, side), 0.35);
      const left =
        this.across && this.drawn.width * scale > width
          ? 0
          : (width - this.drawn.width * scale) / 2;
      const top =
        this.drawn.height * scale > height && !this.across
          ? 0
          : (height - this.drawn.height * scale) / 2;
      this.svg.call(this.zoom.transform, d3.zoomIdentity.translate(left, top).scale(scale));
    }

    fit() {
      const { width, height } = this.svg.node().getBoundingClientRect();
      if (!this.drawn || !width) return;
      const scale = Math.min(width / this.drawn.width, height / this.drawn.height, 1.5);
      const left = (width - this.drawn.width * scale) / 2;
      const top = (height - this.drawn.height * scale) / 2;
      this.svg
        .transition()
        .duration(250)
        .call(this.zoom.transform, d3.zoomIdentity.translate(left, top).scale(scale));
    }

    zoomBy(factor) {
      this.svg.transition().duration(150).call(this.zoom.scaleBy, factor);
    }

    /** Moves the middle of the view to an item, if it is not in view already. */
    centre(id, always = true) {
      const place = this.places.get(id);
      if (!place) return;
      const at = d3.zoomTransform(this.svg.node());
      const { width, height } = this.svg.node().getBoundingClientRect();
      const high = Math.min(place.height, 60);
      const [x, y] = at.apply([place.x + place.width / 2, place.y + high / 2]);
      const seen = x > 40 && y > 40 && x < width - 40 && y < height - 40;
      if (seen && !always) return;
      const scale = Math.max(at.k, 0.8);
      const target = d3.zoomIdentity
        .translate(width / 2, height / 2)
        .scale(scale)
        .translate(-(place.x + place.width / 2), -(place.y + high / 2));
      this.svg.transition().duration(300).call(this.zoom.transform, target);
    }

    /** Marks an item (its id) as selected, and `partners` as what it is on the other side. */
    mark(selected, partners = new Set()) {
      this.selected = selected;
      this.partners = partners;
      this.#restyle();
    }

    setColour(colour) {
      this.colour = colour;
      this.#restyle();
    }

    focus(id) {
      for (const layer of this.layers.slice(2)) {
        layer
          .selectAll(".item, .head")
          .filter((d) => d.id === id)
          .node()
          ?.focus({ preventScroll: true });
      }
    }

    #draw() {
      const [areas, edges, heads, cards] = this.layers;
      const { drawn, model } = this;
      report.drawAreas(areas, drawn.boxes);
      report.drawEdges(edges, drawn.edges, model);
      this.#listen(report.drawHeads(heads, drawn.boxes, model), (box) => this.toggle(box.item));
      const items = report.drawItems(cards, [...drawn.cards, ...drawn.pills], model);
      this.#listen(items, (d, event) => {
        const opens = d.item?.isBox && (d.item.node < 0 || this.selected === d.id);
        if (opens || event.target.classList?.contains("fold")) this.toggle(d.item);
        else this.chosen(d);
      });
      this.#restyle();
    }

    /** Click, Enter and the space bar do the same; arrows move along edges. What the keyboard
        comes to moves into view. */
    #listen(selection, act) {
      selection.on("focus", (event, d) => {
        if (event.currentTarget.matches(":focus-visible")) this.centre(d.id, false);
      });
      selection.on("click", (event, d) => {
        if (event.defaultPrevented) return;
        event.stopPropagation();
        act(d, event);
      });
      selection.on("keydown", (event, d) => {
        if (event.key === "Enter" || event.key === " ") act(d, event);
        else if (event.key.startsWith("Arrow")) this.#step(d.id, event.key);
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
    }

    #step(id, key) {
      const onward = key === "ArrowDown" || key === "ArrowRight";
      const next = this.drawn.edges.find((edge) => (onward ? edge.from === id : edge.to === id));
      if (!next) return;
      const target = onward ? next.to : next.from;
      this.centre(target, false);
      this.focus(target);
    }

    /** Opens or closes a box, which stays in its place. */
    async toggle(item) {
      item.open = !item.open;
      report.hideTip();
      this.chosen({ id: item.id, item });
      await this.update(item.id);
    }

    async reveal(item) {
      if (this.model.reveal(item) || !this.drawn) await this.update();
      this.centre(item.id);
    }

    #restyle() {
      if (!this.drawn) return;
      const [boxes, edges, , cards] = this.layers;
      const isSelected = (d) => d.id === this.selected;
      const isPartner = (d) => this.partners.has(d.id);
      boxes.selectAll("rect.box").classed("selected", isSelected).classed("partner", isPartner);
      const touches = (edge) => edge.from === this.selected || edge.to === this.selected;
      edges.selectAll("path").classed("touched", touches).filter(touches).raise();
      const groups = cards.selectAll("g.item");
      groups.classed("selected", isSelected).classed("partner", isPartner);
      groups.classed(
        "error",
        (d) => d.item && this.model.problemsIn(d.item).some((p) => p.severity === "error"),
      );
      groups.classed(
        "warning",
        (d) => d.item && this.model.problemsIn(d.item).some((p) => p.severity === "warning"),
      );
      groups.attr("data-kind", (d) => (d.item ? this.model.kindOf(d.item) : null));
      this.#shade(groups);
    }

    /** Colours by an amount: the strongest is what has most among what is shown. */
    #shade(groups) {
      const by = this.colour === "time" ? "seconds" : this.colour;
      const plain = by === "kind";
      this.svg.classed("shaded", !plain);
      const most = plain ? 1 : d3.max(this.drawn.cards, (d) => this.model.sum(d.item, by)) || 1;
      groups.style("--heat", (d) =>
        plain || !d.item
          ? null
          : `${Math.round(88 * Math.sqrt(this.model.sum(d.item, by) / most))}%`,
      );
    }
  }

  report.GraphView = GraphView;
})();
