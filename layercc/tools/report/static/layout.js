"use strict";
// Where everything lies: ELK's layered algorithm, in a worker, modules inside modules.

(() => {
  const TITLE = "600 12px system-ui, sans-serif";
  const DETAIL = "11px ui-monospace, Menlo, Consolas, monospace";

  let workerUrl = null;

  /** ELK in a worker. A new graph takes the place of one that is being laid out. */
  class Engine {
    #elk = null;
    #giveUp = null;

    /** The graph with its places, or null if another one came before it was done. */
    async layout(graph) {
      if (this.#giveUp) {
        this.#giveUp(null);
        this.#elk.terminateWorker();
        this.#elk = null;
      }
      workerUrl ??= URL.createObjectURL(
        new Blob([report.byId("elk-worker").textContent], { type: "text/javascript" }),
      );
      this.#elk ??= new ELK({ workerFactory: () => new Worker(workerUrl) });
      let own;
      const given = new Promise((resolve) => {
        own = resolve;
      });
      this.#giveUp = own;
      try {
        return await Promise.race([this.#elk.layout(graph), given]);
      } finally {
        if (this.#giveUp === own) this.#giveUp = null;
      }
    }
  }

  /** What is written on the card of an item: `title`, `detail`, and the size they need. */
  function card(model, item) {
    let title;
    let detail;
    if (item.node >= 0) {
      const node = model.nodes[item.node];
      title = node.title;
      detail = [node.brief, node.shape].filter(Boolean).join(" · ");
    } else {
      title = item.name;
      const parameters = item.sums?.parameters?.[1];
      detail = item.count === 1 ? "1 node" : `${item.count} nodes`;
      if (parameters) detail += ` · ${report.amount(parameters)} params`;
    }
    title = report.elided(title, item.isBox ? 50 : 34);
    detail = report.elided(detail, 40);
    const room = item.isBox ? 46 : 28;
    const wide = Math.max(report.textWidth(title, TITLE), report.textWidth(detail, DETAIL), 50);
    return { title, detail, width: Math.ceil(wide) + room, height: detail ? 42 : 28 };
  }

  function pill(model, numbers, end) {
    const value = model.values[numbers[0]];
    const several = numbers.length > 1;
    const title = several ? `${numbers.length} ${end}` : report.elided(value.name, 30);
    const detail = several ? "" : report.elided(value.type ?? "", 34);
    const wide = Math.max(report.textWidth(title, TITLE), report.textWidth(detail, DETAIL));
    return { title, detail, width: Math.ceil(wide) + 32, height: 38 };
  }

  /** The inputs or outputs: a pill each, or one for all if there are many. */
  function pills(model, end) {
    return model.pills(end).map(({ id, values }) => {
      const made = pill(model, values, end);
      return { id, width: made.width, height: made.height, pill: made, values, end };
    });
  }

  /** Lays out what is shown of a model: `{width, height, cards, boxes, pills, edges}`, each with
      its place; null if the engine was given something newer. `across`: from left to right. */
  async function layout(engine, model, across) {
    const cards = new Map();
    const children = (box) =>
      box.items.map((item) => {
        if (item.isBox && item.open) {
          const wide = Math.ceil(report.textWidth(report.elided(item.name, 60), TITLE) + 64);
          return {
            id: item.id,
            children: children(item),
            layoutOptions: {
              "elk.padding": "[top=34,left=14,bottom=14,right=14]",
              "elk.nodeSize.constraints": "MINIMUM_SIZE",
              // ELK lays out from left to right and turns the result, this size with it
              "elk.nodeSize.minimum": across ? `(${wide}, 40)` : `(40, ${wide})`,
            },
            item,
          };
        }
        const made = card(model, item);
        cards.set(item.id, made);
        return { id: item.id, width: made.width, height: made.height, item };
      });
    const edges = model.edges();
    const graph = {
      id: "graph",
      children: [...pills(model, "inputs"), ...children(model.root), ...pills(model, "outputs")],
      edges: edges.map((edge) => ({ id: edge.id, sources: [edge.from], targets: [edge.to] })),
      layoutOptions: {
        "elk.algorithm": "layered",
        "elk.direction": across ? "RIGHT" : "DOWN",
        "elk.hierarchyHandling": "INCLUDE_CHILDREN",
        "elk.edgeRouting": "ORTHOGONAL",
        "elk.json.shapeCoords": "ROOT",
        "elk.json.edgeCoords": "ROOT",
        "elk.layered.spacing.nodeNodeBetweenLayers": "26",
        "elk.layered.spacing.edgeNodeBetweenLayers": "12",
        "elk.spacing.nodeNode": "22",
        "elk.spacing.edgeNode": "14",
        "elk.layered.considerModelOrder.strategy": "PREFER_EDGES",
        "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
        "elk.layered.mergeEdges": "true",
        "elk.padding": "[top=20,left=20,bottom=50,right=20]",
      },
    };
    // ELK takes a property that is there for a value, even if it is undefined.
    const plain = ({ id, width, height, layoutOptions, children: inner }) =>
      inner ? { id, layoutOptions, children: inner.map(plain) } : { id, width, height };
    const placed = await engine.layout({ ...graph, children: graph.children.map(plain) });
    if (!placed) return null;
    const found = {
      width: placed.width,
      height: placed.height,
      cards: [],
      boxes: [],
      pills: [],
      edges: [],
    };
    const collect = (nodes, places) => {
      nodes.forEach((node, index) => {
        const { x, y, width, height } = places[index];
        const place = { id: node.id, x, y, width, height };
        if (node.pill)
          found.pills.push({
            ...place,
            ...node.pill,
            width,
            height,
            values: node.values,
            end: node.end,
          });
        else if (node.children) {
          found.boxes.push({ ...place, item: node.item });
          collect(node.children, places[index].children);
        } else
          found.cards.push({ ...place, ...cards.get(node.id), width, height, item: node.item });
      });
    };
    collect(graph.children, placed.children);
    const byId = new Map(edges.map((edge) => [edge.id, edge]));
    const gather = (node) => {
      for (const edge of node.edges ?? []) {
        const points = (edge.sections ?? []).flatMap((section) => [
          section.startPoint,
          ...(section.bendPoints ?? []),
          section.endPoint,
        ]);
        if (points.length) found.edges.push({ ...byId.get(edge.id), points });
      }
      for (const child of node.children ?? []) gather(child);
    };
    gather(placed);
    return found;
  }

  Object.assign(report, { Engine, layout });
})();
