"use strict";
// What `layercc check` found, as cards: beside a node, and all of it as a list.

(() => {
  const { element } = report;

  function problemCard(problem, go = null) {
    const card = element("article", { className: `problem ${problem.severity}` });
    const where =
      problem.op === "graph" || !problem.name ? "the graph" : `${problem.op} ${problem.name}`;
    card.append(
      element(
        "h3",
        {},
        element("span", { className: "severity" }, problem.severity),
        element("code", {}, problem.code),
      ),
    );
    if (go) {
      card.append(
        problem.node >= 0
          ? element(
              "button",
              {
                className: "link",
                type: "button",
                onclick: () => go(problem.node),
                title: "Show in the graph",
              },
              where,
            )
          : element("p", { className: "name" }, where),
      );
    }
    card.append(element("p", { className: "message" }, problem.message));
    if (problem.advice)
      card.append(
        element("p", { className: "help" }, element("strong", {}, "help: "), problem.advice),
      );
    const table = (title, rows) =>
      element(
        "details",
        { open: true },
        element("summary", {}, title),
        element(
          "table",
          {},
          element(
            "tbody",
            {},
            ...rows.map((row) => element("tr", {}, ...row.map((text) => element("td", {}, text)))),
          ),
        ),
      );
    if (problem.severity === "error" && problem.reads.length)
      card.append(table("it reads", problem.reads));
    if (problem.way.length > 1) {
      card.append(
        table(
          "the way there",
          changes(problem.way).map(([name, op, shape, fitting]) => [
            name,
            op,
            fitting ? `${shape}\nwould be ${fitting}` : shape,
          ]),
        ),
      );
    }
    if (problem.source) card.append(element("p", { className: "small muted" }, problem.source));
    return card;
  }

  /** The steps at which the shape changes. */
  function changes(way) {
    return way.filter((step, index) => index === 0 || step[2] !== way[index - 1][2]);
  }

  function drawProblems(frame, problems, go) {
    const count = (severity) => problems.filter((problem) => problem.severity === severity).length;
    const said = ["error", "warning", "note"]
      .filter(count)
      .map((severity) => `${count(severity)} ${severity}${count(severity) > 1 ? "s" : ""}`);
    frame.append(
      element(
        "div",
        { className: "narrow" },
        element("h2", {}, said.length ? said.join(", ") : "No problems"),
        said.length ? null : element("p", {}, "All shapes and element types fit together."),
        ...problems.map((problem) => problemCard(problem, go)),
      ),
    );
  }

  Object.assign(report, { problemCard, drawProblems });
})();
