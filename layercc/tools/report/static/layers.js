"use strict";
// The table of layers: what each makes, how much it holds, computes and takes.

(() => {
  const { element, percent, seconds } = report;

  /** Tables of up to this many layers are shown unfolded. */
  const OPEN_UP_TO = 120;

  function drawLayers(frame, model, go) {
    const rows = [];
    const whole = model.sum(model.root, "seconds");
    const all = model.root.count <= OPEN_UP_TO;
    const rowOf = (item, depth) => {
      if (item.isBox && item.node < 0) {
        const row = { item, depth, open: all || item.open, sums: item.sums };
        row.children = item.items.map((inner) => rowOf(inner, depth + 1));
        return row;
      }
      const row = { item, depth, sums: model.nodes[item.node], node: model.nodes[item.node] };
      rows.push(row);
      return row;
    };
    const tree = model.root.items.map((item) => rowOf(item, 0));
    const quantity = (title, name) => ({
      title,
      number: true,
      text: (row) => (row.sums[name][1] === 0 ? "" : row.sums[name][0]),
      value: (row) => row.sums[name][1],
    });
    const timed = (row) => model.sum(row.item, "seconds");
    const columns = [
      {
        title: "Layer",
        wide: true,
        text: (row) => row.item.name,
        value: (row) => row.item.name,
        cell: (row, flat, table) => nameCell(model, row, flat, table, go),
      },
      { title: "Op", text: (row) => row.node?.title ?? "", value: (row) => row.node?.title ?? "" },
      {
        title: "Output",
        text: (row) => row.node?.shape ?? "",
        value: (row) => row.node?.shape ?? "",
        cell: (row) => element("span", { className: "mono" }, row.node?.shape ?? ""),
      },
      quantity("Parameters", "parameters"),
      quantity("Work", "work"),
      quantity("Activations", "activations"),
    ];
    if (whole) {
      columns.push(
        {
          title: "Time",
          number: true,
          text: (row) => (timed(row) ? seconds(timed(row)) : ""),
          value: timed,
        },
        {
          title: "Share",
          number: true,
          text: (row) => percent(timed(row) / whole),
          value: timed,
          cell: (row) => (timed(row) ? shareCell(timed(row) / whole) : ""),
        },
      );
    }
    const { sums } = model.root;
    const foot = [
      "Total",
      `${model.nodes.filter((node) => node.around < 0).length} nodes`,
      "",
      sums.parameters[0],
      sums.work[0],
      sums.activations[0],
    ];
    if (whole) foot.push(seconds(whole), "");
    const marked = (row) => {
      if (model.problemsIn(row.item).some((problem) => problem.severity === "error"))
        return "error";
      return row.children ? "module" : "";
    };
    return new report.Table(frame, {
      columns,
      rows,
      tree,
      foot,
      label: "layers",
      rowClass: marked,
    });
  }

  function nameCell(model, row, flat, table, go) {
    const cell = element("div", { className: "layer" });
    if (!flat) cell.style.paddingInlineStart = `${row.depth * 18}px`;
    if (row.children) {
      const fold = () => {
        row.open = !row.open;
        table.draw();
      };
      cell.append(
        element(
          "button",
          {
            className: "twist",
            type: "button",
            "aria-expanded": String(row.open),
            onclick: fold,
            title: row.open ? "Fold" : "Unfold",
          },
          row.open ? "▾" : "▸",
          element("span", {}, row.item.name),
        ),
        element("span", { className: "muted" }, `${row.item.count} nodes`),
      );
      return cell;
    }
    cell.append(
      element(
        "button",
        {
          className: "link",
          type: "button",
          title: "Show in the graph",
          onclick: () => go(model.side, row.item),
        },
        row.item.name,
      ),
    );
    return cell;
  }

  function shareCell(share) {
    const bar = element("span", { className: "bar" });
    bar.style.setProperty("--share", `${100 * share}%`);
    return element("span", { className: "share" }, bar, percent(share));
  }

  Object.assign(report, { drawLayers, shareCell });
})();
