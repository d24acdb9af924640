"use strict";
// Puts the page together: tabs, the two graphs, what is selected.

(() => {
  const { data, byId, element, Model, GraphView } = report;
  const TABS = ["graph", "layers", "profile", "problems"];
  const models = { before: new Model(data.before, "before") };
  if (data.after) models.after = new Model(data.after, "after");

  data.problems.forEach((problem) => {
    if (problem.node < 0) return;
    const known = models.before.problems;
    known.set(problem.node, [...(known.get(problem.node) ?? []), problem]);
  });
  const calls = data.profile?.calls ?? [];
  calls.forEach((call, index) => {
    const [own, optimized] = data.calls[index];
    for (const [model, node] of [
      [models.before, own],
      [models.after, optimized],
    ]) {
      if (!model || node < 0) continue;
      model.seconds[node] += call.seconds;
      model.calls.set(node, [...(model.calls.get(node) ?? []), call]);
    }
  });

  const links = {
    before: new Map(),
    after: new Map(),
    of(side, node) {
      return this[side].get(node) ?? [];
    },
  };
  for (const [own, later] of data.links) {
    links.before.set(own, [...links.of("before", own), later]);
    links.after.set(later, [...links.of("after", later), own]);
  }

  const views = {};
  const frames = {};
  for (const side of Object.keys(models)) {
    const title = side === "before" ? "As imported" : "After passes";
    const count = models[side].nodes.filter((node) => node.around < 0).length;
    frames[side] = element(
      "div",
      { className: "pane", id: `pane-${side}` },
      element("h2", { className: "side-title" }, title, element("span", {}, ` ${count} nodes`)),
    );
    byId("panes").append(frames[side]);
    views[side] = new GraphView(frames[side], models[side], (chosen) => select(side, chosen));
  }
  const panel = new report.Panel(byId("panel"), models, links, go);
  byId("panes").append(legend());
  let sides = "before";
  let current = "before";

  const shownSides = () => (sides === "both" ? ["before", "after"] : [sides]);

  function legend() {
    const names = {
      contraction: "products and convolutions",
      pointwise: "pointwise",
      reduction: "reductions",
      movement: "data movement",
      quantization: "quantization",
      control: "control flow",
      other: "other",
    };
    const there = new Set(
      Object.values(models).flatMap((model) => model.nodes.map((node) => node.kind)),
    );
    return element(
      "ul",
      { className: "legend" },
      ...Object.keys(names)
        .filter((kind) => there.has(kind))
        .map((kind) => element("li", { "data-kind": kind }, names[kind])),
    );
  }

  /** Shows what was chosen on one side: marks it, and what it is on the other side. */
  function select(side, chosen) {
    current = side;
    panel.show(models[side], chosen);
    const partners = new Set();
    const other = side === "before" ? "after" : "before";
    if (chosen?.item && models[other]) {
      for (const node of models[side].allNodesIn(chosen.item)) {
        for (const far of links.of(side, node)) partners.add(models[other].shownOf(far).id);
      }
    }
    views[side].mark(chosen?.id ?? null);
    if (views[other]) {
      views[other].mark(null, partners);
      if (sides === "both" && partners.size) views[other].centre([...partners][0], false);
    }
  }

  /** Shows an item of one of the graphs, whatever is in view now. */
  async function go(side, item) {
    openTab("graph");
    if (!shownSides().includes(side)) await setSides(side);
    await views[side].reveal(item);
    select(side, { id: item.id, item });
    views[side].focus(item.id);
  }

  async function setSides(wanted) {
    sides = wanted;
    for (const button of byId("sides").children)
      button.setAttribute("aria-pressed", String(button.dataset.sides === wanted));
    for (const side of Object.keys(frames)) frames[side].hidden = !shownSides().includes(side);
    byId("panes").classList.toggle("both", wanted === "both");
    if (!shownSides().includes(current)) current = shownSides()[0];
    await Promise.all(
      shownSides().map((side) => (views[side].drawn ? null : views[side].update())),
    );
    if (sides === "both") for (const side of shownSides()) views[side].start();
  }

  const pending = {
    layers: () => report.drawLayers(byId("layers"), models.before, go),
    profile: () => report.drawProfile(byId("profile"), data, models, go),
    problems: () =>
      report.drawProblems(byId("problems"), data.problems, (node) =>
        go("before", models.before.itemOf[node]),
      ),
  };

  function openTab(name) {
    for (const tab of TABS) {
      byId(tab).hidden = tab !== name;
      byId(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
      byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
    }
    if (pending[name]) {
      pending[name]();
      delete pending[name];
    }
    if (name === "graph") for (const side of shownSides()) views[side].startIfNew();
    report.hideTip();
    if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
  }

  function setUpTabs() {
    TABS.forEach((name, index) => {
      const tab = byId(`tab-${name}`);
      tab.addEventListener("click", () => openTab(name));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = TABS[(index + step + TABS.length) % TABS.length];
        openTab(next);
        byId(`tab-${next}`).focus();
      });
    });
    const errors = data.problems.filter((problem) => problem.severity === "error").length;
    byId("problem-count").textContent = data.problems.length || "";
    byId("problem-count").classList.toggle("bad", errors > 0);
  }

  function setUpToolbar() {
    for (const button of byId("sides").children) {
      button.disabled = button.dataset.sides !== "before" && !models.after;
      if (button.disabled) button.title = data.after_missing;
      button.addEventListener("click", () => setSides(button.dataset.sides));
    }
    const each = (act) => () => shownSides().forEach((side) => act(views[side]));
    byId("open-all").addEventListener(
      "click",
      each((view) => {
        const left = view.model.openAll();
        view.restart(left ? `${left} modules stay closed: too much to draw at once` : "");
      }),
    );
    byId("close-all").addEventListener(
      "click",
      each((view) => {
        view.model.closeAll();
        view.restart();
      }),
    );
    byId("turn").addEventListener(
      "click",
      each((view) => {
        view.across = !view.across;
        view.restart();
      }),
    );
    const zooms = {
      "zoom-in": each((view) => view.zoomBy(1.4)),
      "zoom-out": each((view) => view.zoomBy(1 / 1.4)),
      fit: each((view) => view.fit()),
    };
    for (const [id, act] of Object.entries(zooms)) byId(id).addEventListener("click", act);
    const colour = byId("colour");
    if (!data.profile) {
      colour.querySelector("[value=time]").disabled = true;
      colour.querySelector("[value=time]").textContent = "time (no profile)";
    }
    colour.addEventListener("change", () =>
      Object.values(views).forEach((view) => view.setColour(colour.value)),
    );
    document.addEventListener("keydown", (event) => {
      if (
        event.target.closest("input, select, textarea") ||
        event.ctrlKey ||
        event.metaKey ||
        byId("graph").hidden
      )
        return;
      const act = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "fit" }[event.key];
      if (act) zooms[act]();
      if (event.key === "Escape") select(current, null);
    });
    report.setUpSearch(
      byId("search"),
      byId("found"),
      () => shownSides().map((side) => models[side]),
      go,
    );
  }

  function setUpTheme() {
    const root = document.documentElement;
    byId("theme").addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    });
  }

  byId("model-name").textContent = data.name;
  byId("summary").append(
    ...data.summary
      .slice(0, 3)
      .map(([name, text]) => element("li", {}, element("b", {}, text), ` ${name}`)),
  );
  setUpTabs();
  setUpToolbar();
  setUpTheme();
  const wanted = location.hash.slice(1);
  openTab(TABS.includes(wanted) ? wanted : "graph");
  panel.show(models.before, null);
  setSides("before")
    .then(() => {
      const broken = data.problems.find(
        (problem) => problem.severity === "error" && problem.node >= 0,
      );
      if (!broken) return null;
      const item = models.before.itemOf[broken.node];
      return views.before.reveal(item).then(() => select("before", { id: item.id, item }));
    })
    .then(() => {
      document.documentElement.dataset.drawn = String(Math.round(performance.now()));
    });
  report.openTab = openTab;
})();
