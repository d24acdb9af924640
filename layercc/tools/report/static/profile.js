"use strict";
// The tab of the profile: figures, pictures, and the table of kernel calls.

(() => {
  const { element, amount, percent, seconds } = report;

  function drawProfile(frame, data, models, go) {
    const { profile } = data;
    if (!profile) {
      frame.append(
        element(
          "div",
          { className: "narrow" },
          element("h2", {}, "No profile"),
          element("p", { className: "message" }, data.profile_missing),
          element(
            "p",
            { className: "muted" },
            "What is drawn here needs a run: time by layer, roofline, memory, threads, calls.",
          ),
        ),
      );
      return;
    }
    frame.append(figures(profile));
    const card = (title, about, draw) => {
      const box = element(
        "section",
        { className: "picture" },
        element("h2", {}, title),
        element("p", { className: "muted" }, about),
      );
      frame.append(box);
      if (draw(box) === false) box.append(element("p", {}, "The profile says nothing about it."));
    };
    card(
      "Time by layer",
      "Modules, layers and kernel calls, as wide as they take time. Click to enlarge.",
      (box) => report.drawFlame(box, models.before, profile.calls, data.calls, go),
    );
    card(
      "Roofline",
      profile.limits
        ? "Each call, the larger the more time, under the limits measured on this machine."
        : "Each call, the larger the more time. The limits of this machine are not known.",
      (box) => report.drawRoofline(box, profile, data.calls, models, go),
    );
    card(
      "Memory",
      `Values in the arena of ${amount(profile.arena_bytes, "B")}, from first to last call.`,
      (box) => report.drawMemory(box, profile),
    );
    card("Threads", "One typical run: which thread ran tasks of which layer.", (box) =>
      report.drawThreads(box, profile, data.calls, models),
    );
    card("Calls", "Every kernel call of a run, in order.", (box) =>
      drawCalls(box, data, models, go),
    );
  }

  function figures(profile) {
    const inputs = Object.entries(profile.inputs ?? {}).map(
      ([name, dims]) => `${name} [${dims.join(", ")}]`,
    );
    const rows = [
      [seconds(profile.seconds), "median of a run"],
      [percent(profile.accounted), "accounted for by calls"],
      [String(profile.calls.length), "calls"],
      [String(profile.threads), profile.threads === 1 ? "thread" : "threads"],
      [amount(profile.arena_bytes, "B"), "arena"],
      [amount(profile.constant_bytes, "B"), "constants"],
    ];
    return element(
      "header",
      { className: "figures" },
      ...rows.map(([number, what]) =>
        element("div", {}, element("b", {}, number), element("span", {}, what)),
      ),
      element(
        "p",
        { className: "muted" },
        [profile.device, ...inputs, `${profile.runs} runs`].filter(Boolean).join(" · "),
      ),
    );
  }

  function drawCalls(frame, data, models, go) {
    const rows = data.profile.calls.map((call, index) => ({
      call,
      index,
      node: data.calls[index][0],
    }));
    const text = (title, name) => ({
      title,
      text: ({ call }) => String(call[name] ?? ""),
      value: ({ call }) => call[name] ?? "",
    });
    const number = (title, name, format) => ({
      title,
      number: true,
      text: ({ call }) => (call[name] ? format(call[name]) : ""),
      value: ({ call }) => call[name],
    });
    const columns = [
      { title: "#", number: true, text: (row) => String(row.index), value: (row) => row.index },
      {
        ...text("Layer", "layer"),
        wide: true,
        cell: ({ call, node }) =>
          node < 0
            ? call.layer
            : element(
                "button",
                {
                  className: "link",
                  type: "button",
                  title: "Show in the graph",
                  onclick: () => go("before", models.before.itemOf[node]),
                },
                call.layer,
              ),
      },
      text("Op", "op"),
      { ...text("Kernel", "kernel"), wide: true },
      text("Algorithm", "algorithm"),
      number("Tasks", "tasks", String),
      number("Time", "seconds", seconds),
      number("90 %", "p90", seconds),
      { ...number("Share", "share", percent), cell: ({ call }) => report.shareCell(call.share) },
      number("Work", "flops", (value) => amount(value, "FLOP")),
      number("Bytes", "bytes", (value) => amount(value, "B")),
      number("Of the limit", "limit_share", percent),
    ];
    const filled = columns.filter((column) => rows.some((row) => column.text(row)));
    return new report.Table(frame, { columns: filled, rows, label: "kernel calls" });
  }

  report.drawProfile = drawProfile;
})();
