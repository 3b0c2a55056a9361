"use strict";
// What the page's scripts share. Texts of the corpus enter the page through `make` alone, as text nodes.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en").format;
  const make = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== "")
      .map((child) => child instanceof Node ? child : String(child)));
    return node;
  };
  const button = (label, onClick, description) => {
    const node = make("button", "", label);
    node.type = "button";
    if (description) node.setAttribute("aria-label", description);
    node.addEventListener("click", onClick);
    return node;
  };
  const SHAPES = { positive: "M6 1 11.2 10.6H.8Z", negative: "M6 11 .8 1.4h10.4Z", both: "M6 .6 11.4 6 6 11.4.6 6Z", neutral: "M6 1.4a4.6 4.6 0 1 0 .01 0Z" };
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const mark = (stance) => {
    const sign = svg("svg", { class: "mark " + (stance < 0 ? "none" : "s" + stance), viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" });
    sign.append(stance < 0 ? svg("path", { d: "M1 5h10v2H1Z" }) : svg("path", { d: SHAPES[data.stances[stance].polarity] || SHAPES.neutral }));
    return sign;
  };
  // Search passes over case and accents.
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const counting = () => document.documentElement.dataset.counting;
  const things = (n, way = counting()) => {
    const word = data.countings.length === 1 ? "statements" : way;
    return number(n) + " " + (n === 1 ? word.slice(0, -1) : word);
  };
  // The address of the statements that filters leave.
  const address = (filters, way = counting()) => {
    const asked = Object.entries(filters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    if (way === "statements") asked.push(["count", way]);
    return "#?" + asked.map(([name, value]) => name + "=" + encodeURIComponent(value).replace(/%2A/g, "*").replace(/%3A/g, ":")).join("&");
  };
  const link = (label, filters, description) => {
    const node = make("a", "n", label);
    node.href = address(filters);
    if (description) node.setAttribute("aria-label", description);
    return node;
  };
  const outside = (label, url) => {
    const node = make("a", "", label);
    node.href = url;
    node.target = "_blank";
    node.rel = "noopener noreferrer";
    return node;
  };
  const percent = (share) => share > 0 && share < 0.005 ? "under 1 %" : Math.round(100 * share) + " %";

  const listeners = [];
  const onCounting = (listener) => listeners.push(listener);
  const setCounting = (way) => {
    if (!data.countings.includes(way) || way === counting()) return;
    document.documentElement.dataset.counting = way;
    for (const box of document.querySelectorAll("input[name=counting]")) box.checked = box.value === way;
    for (const listener of listeners) listener();
  };
  for (const box of document.querySelectorAll("input[name=counting]")) {
    box.checked = box.value === counting();
    box.addEventListener("change", () => setCounting(box.value));
  }
  // On paper nothing can be opened, so what is folded on screen is printed open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.figures:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  return { data, byId, number, make, button, mark, svg, plain, counting, things, address, link, outside, percent, onCounting, setCounting };
})();
