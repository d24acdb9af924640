"use strict";
// A graph with its folds: which nodes and modules are shown, and the edges between them.

(() => {
  /** This many items are shown before anything is opened by hand. */
  const SHOWN_AT_FIRST = 24;
  /** More cards than this are not drawn at once. */
  const MOST_SHOWN = 3000;
  /** More inputs, or outputs, than this are drawn as one. */
  const MOST_PILLS = 16;

  class Model {
    /** `data`: a graph as in graph_data.py; `side`: "before" or "after". */
    constructor(data, side) {
      this.side = side;
      this.name = data.name;
      this.nodes = data.nodes;
      this.values = data.values;
      this.inputs = data.inputs;
      this.outputs = data.outputs;
      this.isInput = new Set(data.inputs);
      this.boxes = [];
      this.itemOf = new Array(data.nodes.length);
      this.seconds = new Array(data.nodes.length).fill(0);
      this.calls = new Map();
      this.problems = new Map();
      this.root = this.#box({ name: "", items: data.tree.items, sums: data.tree }, null);
      this.root.open = true;
      this.#openAtFirst();
    }

    /** An item that holds others: a module, or a node with subgraphs. */
    #box({ name, items, run = false, node = -1, sums = null }, parent) {
      const id = node < 0 ? `m${this.boxes.length}` : `n${node}`;
      const box = {
        id,
        node,
        name,
        run,
        sums,
        parent,
        open: false,
        isBox: true,
        items: [],
        count: 0,
      };
      this.boxes.push(box);
      if (node >= 0) this.itemOf[node] = box;
      for (const item of items) {
        if (typeof item === "number") {
          const leaf = {
            id: `n${item}`,
            node: item,
            name: this.nodes[item].name,
            parent: box,
            isBox: false,
            count: 1,
          };
          this.itemOf[item] = leaf;
          box.items.push(leaf);
        } else if (item.node !== undefined) {
          box.items.push(this.#box({ ...item, name: this.nodes[item.node].name }, box));
        } else {
          box.items.push(this.#box({ ...item, sums: item }, box));
        }
        box.count += box.items.at(-1).node >= 0 ? 1 : box.items.at(-1).count;
      }
      return box;
    }

    /** Opens modules, a level at a time, as long as the picture stays small. */
    #openAtFirst() {
      let level = [this.root];
      let shown = this.root.items.length;
      while (level.length) {
        const next = level.flatMap((box) =>
          box.items.filter((item) => item.isBox && item.node < 0 && !item.run),
        );
        shown += next.reduce((sum, box) => sum + box.items.length, 0);
        if (shown > SHOWN_AT_FIRST) break;
        for (const box of next) box.open = true;
        level = next;
      }
    }

    /** What an item is coloured as; a module as the kind that has most work in it. */
    kindOf(item) {
      if (item.node >= 0) return this.nodes[item.node].kind;
      if (!item.kind) {
        const work = d3.rollup(
          [...this.nodesIn(item)].map((node) => this.nodes[node]),
          (nodes) => d3.sum(nodes, (node) => (node.work?.[1] ?? 0) + 1e-6),
          (node) => node.kind,
        );
        item.kind = d3.greatest(work, ([, sum]) => sum)[0];
      }
      return item.kind;
    }

    closeAll() {
      for (const box of this.boxes) box.open = box === this.root;
    }

    /** Opens everything, the outer first, as far as the picture does not get too large to draw. How
        many boxes stay closed. */
    openAll() {
      this.closeAll();
      let shown = this.root.items.length;
      let left = this.boxes.length - 1;
      for (let level = [this.root]; level.length;) {
        const next = level.flatMap((box) => box.items.filter((item) => item.isBox));
        level = [];
        for (const box of next) {
          if (shown + box.items.length > MOST_SHOWN) continue;
          shown += box.items.length;
          left -= 1;
          box.open = true;
          level.push(box);
        }
      }
      return left;
    }

    /** What stands for the inputs or outputs: `{id, values}`; one for all if there are many. */
    pills(end) {
      const numbers = [...new Set(this[end])];
      if (numbers.length > MOST_PILLS) return [{ id: end, values: numbers }];
      return numbers.map((number) => ({ id: `${end}${number}`, values: [number] }));
    }

    ancestors(item) {
      const found = [];
      for (let box = item.parent; box; box = box.parent) found.unshift(box);
      return found;
    }

    /** The item that stands for this one: itself, or the outermost closed box that it is in. */
    shown(item) {
      return this.ancestors(item).find((box) => !box.open) ?? item;
    }

    shownOf(node) {
      return this.shown(this.itemOf[node]);
    }

    /** Opens what hides an item; whether anything changed. */
    reveal(item) {
      const closed = this.ancestors(item).filter((box) => !box.open);
      for (const box of closed) box.open = true;
      return closed.length > 0;
    }

    *nodesIn(item) {
      if (item.node >= 0) yield item.node;
      else for (const inner of item.items) yield* this.nodesIn(inner);
    }

    /** Every node under an item, those of subgraphs too. */
    *allNodesIn(item) {
      if (item.node >= 0) yield item.node;
      if (item.isBox) for (const inner of item.items) yield* this.allNodesIn(inner);
    }

    /** Problems of the nodes under an item. */
    problemsIn(item) {
      if (!this.problems.size) return [];
      return [...this.allNodesIn(item)].flatMap((node) => this.problems.get(node) ?? []);
    }

    /** Names of the modules around an item, the outermost first. */
    pathOf(item) {
      return this.ancestors(item)
        .slice(1)
        .map((box) => box.name);
    }

    /** What an amount of nodes sums to under an item: "seconds", "work", "parameters". */
    sum(item, what) {
      if (what === "seconds") {
        let total = 0;
        for (const node of this.allNodesIn(item)) total += this.seconds[node];
        return total;
      }
      const entry = item.node >= 0 ? this.nodes[item.node] : item.sums;
      return entry?.[what]?.[1] ?? 0;
    }

    /** Edges between what is shown, pills too: `{id, from, to, values}`, the ends by their ids. */
    edges() {
      const found = new Map();
      const pillOf = new Map();
      for (const end of ["inputs", "outputs"]) {
        for (const { id, values } of this.pills(end))
          for (const value of values) pillOf.set(end + value, id);
      }
      const add = (from, to, value) => {
        const key = `${from}>${to}`;
        if (!found.has(key)) found.set(key, { id: key, from, to, values: [] });
        found.get(key).values.push(value);
      };
      this.values.forEach((value, number) => {
        if (value.constant) return;
        const isInput = this.isInput.has(number);
        if (value.maker < 0 && !isInput) return;
        const source = isInput ? null : this.shownOf(value.maker);
        const from = source ? source.id : pillOf.get(`inputs${number}`);
        for (const reader of value.readers) {
          const target = this.shownOf(reader);
          if (source && (source === target || within(source, target) || within(target, source)))
            continue;
          add(from, target.id, number);
        }
      });
      for (const number of this.outputs) {
        const { maker } = this.values[number];
        const isInput = this.isInput.has(number);
        const from = isInput
          ? pillOf.get(`inputs${number}`)
          : maker >= 0
            ? this.shownOf(maker).id
            : null;
        if (from) add(from, pillOf.get(`outputs${number}`), number);
      }
      return [...found.values()];
    }
  }

  function within(item, box) {
    for (let around = item.parent; around; around = around.parent) if (around === box) return true;
    return false;
  }

  report.Model = Model;
})();
