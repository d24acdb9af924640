"use strict";
// What the other files share: the data, elements, numbers for people, the tooltip.
// Text of the model only ever becomes text: nothing here makes HTML of a string.

const report = { data: JSON.parse(document.getElementById("data").textContent) };

(() => {
  const SVG = "http://www.w3.org/2000/svg";

  /** An element with properties, attributes (those with a dash, and `role`) and children. */
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name in made && !name.includes("-")) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function byId(id) {
    return document.getElementById(id);
  }

  const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

  /** `3.4 GFLOP`: three digits, a decimal prefix. */
  function amount(value, unit = "") {
    if (value === null || value === undefined) return "?";
    let prefix = 0;
    let scaled = value;
    while (scaled >= 999.5 && prefix < PREFIXES.length - 1) {
      scaled /= 1000;
      prefix += 1;
    }
    const digits = !prefix && Number.isInteger(value) ? value : Number(scaled.toPrecision(3));
    return `${digits} ${PREFIXES[prefix]}${unit}`.trimEnd();
  }

  /** `25.8 ms` */
  function seconds(value) {
    if (value === null || value === undefined) return "?";
    for (const [factor, unit] of [
      [1, "s"],
      [1e3, "ms"],
    ]) {
      if (value * factor >= 0.9995) return `${Number((value * factor).toPrecision(3))} ${unit}`;
    }
    return `${Number((value * 1e6).toPrecision(3))} µs`;
  }

  function percent(share) {
    if (share === null || share === undefined) return "";
    return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  }

  const pen = document.createElement("canvas").getContext("2d");
  const widths = new Map();

  /** Width in pixels of a line of text. */
  function textWidth(text, font) {
    const key = font + text;
    if (!widths.has(key)) {
      pen.font = font;
      widths.set(key, pen.measureText(text).width);
    }
    return widths.get(key);
  }

  /** The text, its middle left out where it is longer than `limit` characters. */
  function elided(text, limit) {
    if (text.length <= limit) return text;
    const head = Math.ceil((limit - 1) / 2);
    return `${text.slice(0, head)}…${text.slice(text.length - (limit - 1 - head))}`;
  }

  const tip = byId("tip");

  /** Shows lines beside the pointer: `[label, text]` pairs under a title. */
  function showTip(event, title, rows = []) {
    tip.replaceChildren(
      element("strong", {}, title),
      ...rows.map(([label, text]) => element("div", {}, element("span", {}, label), text)),
    );
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - width - 8);
    const top =
      event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  }

  function hideTip() {
    tip.hidden = true;
  }

  Object.assign(report, {
    SVG,
    element,
    byId,
    amount,
    seconds,
    percent,
    textWidth,
    elided,
    showTip,
    hideTip,
  });
})();
