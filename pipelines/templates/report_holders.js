// The list of holders: sorted by any column, filtered by name, kind, country and current stance.
(() => {
  const { data, byId, make, button, mark, svg, link, number, plain, counting, onCounting } = page;
  const table = byId("holder-table");
  if (!table) return;
  const FIRST = 25;
  const compare = new Intl.Collator("en").compare;
  const holders = data.holders.map(([name, type, country, known, stance, probability, opinions, statements, sources, first, last, concerns, changes], place) => ({
    name: data.names[name], type, country, known, stance, probability, counts: { opinions, statements }, sources, first, last, concerns, changes, place,
    sought: plain(data.names[name]),
  }));
  const total = (h) => h.counts[counting()].reduce((a, b) => a + b, 0);
  const rank = (h) => h.stance < 0 ? -1 : data.order.length - data.order.indexOf(h.stance) + (h.probability || 0) / 101;
  const columns = [
    { name: "Holder", value: (h) => h.name, text: true },
    { name: "Statements", value: total, className: "number" },
    { name: "Stances" },
    { name: "Current stance", value: rank },
    { name: "Outlets", value: (h) => h.sources, className: "number wide-only" },
    { name: "First position", value: (h) => h.first || "", className: "wide-only", late: true },
    { name: "Last position", value: (h) => h.last || "", className: "wide-only", late: true },
    { name: "Main concerns", className: "concerns" },
  ];
  let sorted = 1, ascending = false, all = false;
  const filters = { name: "", type: "", country: "", stance: "" };

  const bar = (counts) => {
    const strip = svg("svg", { class: "stack", width: "100%", height: 12, "aria-hidden": "true" });
    const sum = counts.reduce((a, b) => a + b, 0);
    let at = 0;
    for (const i of [...data.order, data.stances.length]) {
      if (!counts[i]) continue;
      strip.append(svg("rect", { class: i < data.stances.length ? "s" + i : "none", x: 100 * at / sum + "%", width: 100 * counts[i] / sum + "%", y: 1, height: 10 }));
      at += counts[i];
    }
    return strip;
  };
  const row = (h) => {
    const kind = [data.types[h.type][1], h.country].filter(Boolean).join(", ");
    const counts = h.counts[counting()];
    const one = (i) => ({ holder: h.name, stance: i < data.stances.length ? data.stances[i].id : "*undecided" });
    const name = make("th", "", link(h.name, { holder: h.name }, h.name + ": show all statements"));
    name.firstChild.className = "";
    name.append(make("span", "sub", h.known ? kind : kind + ", as written"));
    name.scope = "row";
    const parts = [...data.order, data.stances.length].filter((i) => counts[i]).map((i) => {
      const word = i < data.stances.length ? data.stances[i].name : "Undecided";
      const part = link("", one(i), number(counts[i]) + " " + word + ", " + h.name + ": show them");
      part.title = word;
      part.append(mark(i < data.stances.length ? i : -1), number(counts[i]));
      return part;
    });
    const now = h.stance < 0 ? make("td", "now", make("span", "soft", "None known"))
      : make("td", "now", mark(h.stance), data.stances[h.stance].name, h.probability === null ? null : make("span", "sub", h.probability + " % probable"));
    if (h.changes) now.append(make("span", "sub", h.changes === 1 ? "1 change" : h.changes + " changes"));
    return make("tr", "", name,
      make("td", "number", link(number(total(h)), { holder: h.name }, number(total(h)) + ", " + h.name + ": show all")),
      make("td", "stances", bar(counts), make("span", "parts", ...parts)), now,
      make("td", "number wide-only", number(h.sources)), make("td", "wide-only date", h.first || "–"), make("td", "wide-only date", h.last || "–"),
      make("td", "concerns", h.concerns.map((c) => data.concerns[c][1]).join(", ")));
  };
  const shown = () => holders.filter((h) => (filters.name === "" || filters.name.split(/\s+/).every((word) => h.sought.includes(word)))
    && (filters.type === "" || h.type === Number(filters.type)) && (filters.country === "" || (h.country || "") === filters.country)
    && (filters.stance === "" || h.stance === Number(filters.stance)));
  const draw = () => {
    const { value, text } = columns[sorted];
    const sign = ascending ? 1 : -1;
    const found = shown().sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (columns[sorted].late && (!x || !y) && x !== y) return x ? -1 : 1; // the undated last, either way
      return sign * (text ? compare(x, y) : (x > y) - (x < y)) || a.place - b.place;
    });
    table.tBodies[0].replaceChildren(...found.slice(0, all ? undefined : FIRST).map(row));
    if (!found.length) {
      const cell = make("td", "empty", "No holder fits these filters.");
      cell.colSpan = columns.length;
      table.tBodies[0].append(make("tr", "", cell));
    }
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      if (i === sorted) cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    });
    byId("holder-count").textContent = found.length === holders.length
      ? (holders.length === 1 ? "1 holder" : "All " + number(holders.length) + " holders") : number(found.length) + " of " + number(holders.length) + " holders";
    const more = byId("more-holders");
    more.hidden = found.length <= FIRST;
    more.textContent = all ? "Show the first " + FIRST : "Show all " + number(found.length);
  };
  const head = make("tr", "", ...columns.map((column, i) => {
    const cell = make("th", column.className || "", column.value ? button(column.name, () => {
      ascending = sorted === i ? !ascending : Boolean(column.text);
      sorted = i;
      draw();
    }) : column.name);
    cell.scope = "col";
    return cell;
  }));
  table.append(make("thead", "", head), make("tbody", ""));
  for (const country of [...new Set(holders.map((h) => h.country).filter(Boolean))].sort()) byId("holder-country").append(new Option(country, country));
  byId("holder-country").closest("label").hidden = byId("holder-country").options.length === 1;
  byId("holder-name").addEventListener("input", (event) => { filters.name = plain(event.target.value).trim(); draw(); });
  for (const name of ["type", "country", "stance"]) byId("holder-" + name).addEventListener("change", (event) => { filters[name] = event.target.value; draw(); });
  byId("holder-filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more-holders").addEventListener("click", () => { all = !all; draw(); });
  onCounting(draw);
  draw();
})();
