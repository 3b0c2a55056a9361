// The statements: what a number is made of. The filters stand in the address, so that it can be shared and gone back to.
(() => {
  const { data, byId, make, button, mark, link, outside, number, plain, counting, things, address, onCounting, setCounting } = page;
  if (!byId("filters")) return;
  const PAGE = 25;
  const stanceIndex = new Map(data.stances.map((s, i) => [s.id, i]));
  const concernIndex = new Map(data.concerns.map(([id], i) => [id, i]));
  const typeIndex = new Map(data.types.map(([id], i) => [id || "*unknown", i]));
  const rows = data.statements.map(([document_, text, name, type, stance, shares, concerns, sure, some = {}], place) => ({
    document: document_, text, name, type, stance, shares, concerns, sure, place, copies: some.n || 1, reach: some.r || 1, outlets: some.u || [],
    of: some.o ?? -1, before: some.b, after: some.a, gold: some.g ?? -1, goldConcerns: some.k || [], written: some.h, values: some.c || [], since: some.e || 0,
  }));
  const doc = (row) => {
    const [title, publisher, kind, day, url, source, odd] = data.documents[row.document];
    return { title, publisher, kind, day, link: url, source, odd };
  };
  // Opinions: a first row with the rows that are its copies. Filters judge the first, as the numbers of the page do.
  const opinions = rows.filter((row) => row.of < 0);
  const copiesOf = new Map(opinions.map((row) => [row.place, [row]]));
  for (const row of rows) if (row.of >= 0) copiesOf.get(row.of).push(row);
  const inDocument = new Map();
  for (const row of rows) {
    if (!inDocument.has(row.document)) inDocument.set(row.document, []);
    inDocument.get(row.document).push(row);
  }
  const sought = (row) => row.sought ??= plain(copiesOf.get(row.place).flatMap((copy) => {
    const { title, publisher } = doc(copy);
    return [copy.text, copy.name < 0 ? "" : data.names[copy.name], copy.written, title, publisher];
  }).concat(row.outlets).filter(Boolean).join("\n"));
  const goldOf = (row) => (copiesOf.get(row.place).find((copy) => copy.gold >= 0) || row).gold;
  const quarterOf = (day) => day && day.length >= 7 ? day.slice(0, 4) + "-Q" + Math.ceil(Number(day.slice(5, 7)) / 3) : "";
  const monthOf = (day) => day && day.length >= 7 ? day.slice(0, 7) : "";

  const NAMES = ["q", "stance", "concern", "holder", "type", "month", "quarter", "publisher", "kind", "country", "column", "value", "document", "rows", "gold", "since", "sort"];
  const CONTROLS = { q: "search", stance: "filter-stance", concern: "filter-concern", holder: "filter-holder", type: "filter-type", month: "filter-month", sort: "filter-sort" };
  const state = Object.fromEntries(NAMES.map((name) => [name, ""]));
  let found = [], listed = [], first = 0;

  const known = new Set(data.names);
  const tests = () => {
    const made = [];
    const add = (name, test) => { if (state[name] !== "") made.push(test(state[name])); };
    add("stance", (v) => v === "*position" ? (r) => r.stance >= 0 && data.stances[r.stance].polarity !== "neutral"
      : v === "*decided" ? (r) => r.stance >= 0 : v === "*undecided" ? (r) => r.stance < 0 : (r) => r.stance === stanceIndex.get(v));
    add("concern", (v) => (r) => r.concerns.includes(concernIndex.get(v)));
    add("holder", (v) => known.has(v) ? (r) => r.name >= 0 && data.names[r.name] === v
      : (r) => r.name >= 0 && plain(data.names[r.name]).includes(plain(v)));
    add("type", (v) => (r) => r.type === typeIndex.get(v));
    add("month", (v) => v === "none" ? (r) => !doc(r).day : (r) => monthOf(doc(r).day) === v);
    add("quarter", (v) => (r) => quarterOf(doc(r).day) === v);
    add("publisher", (v) => (r) => doc(r).publisher === v);
    add("kind", (v) => (r) => doc(r).kind === v);
    add("country", (v) => (r) => r.name >= 0 && data.countries[data.names[r.name]] === v);
    add("document", (v) => (r) => copiesOf.get(r.place).some((copy) => copy.document === Number(v)));
    add("gold", (v) => (r) => { const g = goldOf(r); return g >= 0 && (v === "same" ? g === r.stance : v === "other" ? r.stance >= 0 && g !== r.stance : true); });
    add("since", (v) => { const mark = { new: 1, stance: 2, concerns: 4 }[v] || 0; return (r) => (r.since & mark) > 0; });
    add("rows", (v) => { const wanted = new Set(v.split(/[ ,]/).map(Number)); return (r) => wanted.has(r.place); });
    add("column", (v) => { const at = data.columns.indexOf(v), value = (data.values[at] || []).indexOf(state.value); return (r) => r.values[at] === value && value >= 0; });
    add("q", (v) => { const words = plain(v).split(/\s+/).filter(Boolean); return (r) => { const text = sought(r); return words.every((word) => text.includes(word)); }; });
    return made;
  };
  const surest = (row) => row.stance < 0 ? Math.max(...row.shares) : row.shares[row.stance];
  const ORDERS = {
    "": (a, b) => byDay(a, b, -1), old: (a, b) => byDay(a, b, 1), sure: (a, b) => surest(b) - surest(a),
    unsure: (a, b) => surest(a) - surest(b), given: () => 0,
  };
  const byDay = (a, b, sign) => {
    const [x, y] = [doc(a).day, doc(b).day];
    return x && y ? sign * ((x > y) - (x < y)) : (y ? 1 : 0) - (x ? 1 : 0); // the undated last, either way
  };
  // What is listed: an opinion once, or each of its copies, those too that the labels do not have as rows.
  const expand = (opinion) => {
    const group = copiesOf.get(opinion.place);
    const missing = Array.from({ length: Math.max(0, opinion.copies - group.length) }, () => ({ ...opinion, elsewhere: true }));
    return [...group.map((copy) => ({ ...copy, stance: opinion.stance, shares: opinion.shares, concerns: opinion.concerns, sure: opinion.sure, copy: copy !== opinion })), ...missing];
  };

  const holderCell = (row) => {
    if (row.name < 0) {
      const type = row.type < data.types.length - 1 ? data.types[row.type][1] : "";
      return row.written ? make("div", "holder", "“" + row.written + "”", type ? make("span", "sub", type) : null)
        : make("div", "holder", make("span", "soft", type || "Nobody named"));
    }
    const name = data.names[row.name];
    const cell = make("div", "holder", link(name, { holder: name }, name + ": show all statements"), make("span", "sub", data.types[row.type][1]));
    if (row.written) cell.append(make("span", "sub", "written “" + row.written + "”"));
    return cell;
  };
  const sourceCell = (row) => {
    if (row.elsewhere) return make("div", "source", make("span", "soft", "A copy elsewhere: one of " + row.outlets.join(", ")));
    const { title, publisher, day, link: url, source, odd } = doc(row);
    const heading = title || url || source;
    const cell = make("div", "source");
    if (url) cell.append(outside(heading, url));
    else if (heading) cell.append(heading);
    const sub = [publisher, day || odd].filter(Boolean).join(", ");
    if (sub) cell.append(make("span", "sub", sub));
    if (row.reach > 1 && !row.copy) {
      const list = make("details", "outlets", make("summary", "", "In " + row.reach + " outlets"), make("p", "", row.outlets.join(", ") + (row.reach > row.outlets.length ? " and others" : "")));
      cell.append(list);
    }
    return cell;
  };
  const context = (row) => {
    const place = make("div", "context");
    place.hidden = true;
    const fill = () => {
      const near = inDocument.get(row.document);
      const at = near.findIndex((other) => other.place === row.place);
      const beside = (other) => other && make("p", "beside", other.text);
      const around = row.before || row.after
        ? [row.before && make("p", "beside", row.before), make("p", "itself", row.text), row.after && make("p", "beside", row.after)]
        : [beside(near[at - 1]), make("p", "itself", row.text), beside(near[at + 1])];
      place.append(...around.filter(Boolean));
      for (const p of place.querySelectorAll("p")) p.dir = "auto";
      if (!row.before && !row.after) place.append(make("p", "sub", near.length > 1 ? "Beside it the statements that stand before and after it in the document; sentences between them may be missing." : "No other statement of this document is known."));
      if (near.length > 1) place.append(make("p", "sub", link("All statements of this document", { document: row.document })));
    };
    const toggle = button("Show in document", () => {
      if (!place.childNodes.length) fill();
      place.hidden = !place.hidden;
      toggle.setAttribute("aria-expanded", String(!place.hidden));
      toggle.textContent = place.hidden ? "Show in document" : "Hide the context";
    });
    toggle.className = "toggle";
    toggle.setAttribute("aria-expanded", "false");
    return [toggle, place];
  };
  const item = (row) => {
    const stance = make("div", "stance " + (row.stance < 0 ? "none" : "s" + row.stance), mark(row.stance), row.stance < 0 ? "Undecided" : data.stances[row.stance].name);
    const share = row.stance < 0 ? null : row.shares[row.stance];
    if (share !== null) stance.append(make("span", "sub", share + " % probable"));
    else if (row.stance < 0) stance.append(make("span", "sub", data.order.map((i) => data.stances[i].name + " " + row.shares[i] + " %").join(", ")));
    if (row.gold >= 0) stance.append(make("span", "gold" + (row.gold === row.stance ? "" : " differs"), "Gold: " + data.stances[row.gold].name));
    const text = make("p", "text", row.text);
    text.dir = "auto";
    const body = make("div", "body", text);
    if (row.concerns.length) body.append(make("p", "tags", row.concerns.map((c, i) => data.concerns[c][1] + " " + row.sure[i] + " %").join(" · ")));
    if (row.gold >= 0) body.append(make("p", "tags", "Gold: " + (row.goldConcerns.length ? row.goldConcerns.map((c) => data.concerns[c][1]).join(" · ") : "no concern")));
    const values = row.values.map((v, i) => v < 0 ? null : data.columns[i] + ": " + data.values[i][v]).filter(Boolean);
    if (values.length) body.append(make("p", "tags", values.join(" · ")));
    if (row.copy) body.append(make("p", "tags", "A copy, counted under the labels of the text published first"));
    if (!row.elsewhere) body.append(...context(row));
    return make("li", "statement", stance, body, holderCell(row), sourceCell(row));
  };
  const draw = () => {
    const last = Math.min(first + PAGE, listed.length);
    byId("statement-list").replaceChildren(...listed.slice(first, last).map(item));
    byId("statement-list").start = first + 1;
    if (!listed.length) byId("statement-list").append(make("li", "empty", "No statement fits these filters."));
    document.querySelector(".pager").hidden = listed.length <= PAGE;
    byId("page-range").textContent = number(first + 1) + "–" + number(last) + " of " + number(listed.length);
    byId("previous").disabled = first === 0;
    byId("next").disabled = last === listed.length;
  };
  const CHIPS = {
    quarter: () => "Published " + state.quarter, publisher: () => "Outlet: " + state.publisher, kind: () => "Kind of document: " + state.kind,
    country: () => "Country: " + state.country, column: () => state.column + ": " + state.value, gold: () => ({ same: "Audited, decided as gold has it", other: "Audited, decided otherwise" }[state.gold] || "Audited"), rows: () => "The statements of one change",
    since: () => ({ new: "New since the earlier run", stance: "Another stance than in the earlier run", concerns: "Other concerns than in the earlier run" }[state.since] || "Changed since the earlier run"),
    document: () => "Document: " + (data.documents[state.document] ? data.documents[state.document][0] || "untitled" : "unknown"),
  };
  const apply = () => {
    const judged = tests();
    found = opinions.filter((row) => judged.every((test) => test(row)));
    if (state.document !== "" && state.sort === "") found.sort((a, b) => a.place - b.place);
    else found.sort(ORDERS[state.sort] || ORDERS[""]);
    listed = counting() === "statements" ? found.flatMap(expand) : found;
    first = 0;
    const whole = found.length === opinions.length;
    byId("result-count").textContent = (whole && listed.length > 1 ? "All " : "") + things(listed.length)
      + (counting() === "statements" && data.countings.length > 1 ? " (" + things(found.length, "opinions") + ")" : "")
      + (whole ? "" : " of " + number(counting() === "statements" ? opinions.reduce((sum, o) => sum + Math.max(o.copies, copiesOf.get(o.place).length), 0) : opinions.length));
    byId("chips").replaceChildren(...Object.keys(CHIPS).filter((name) => state[name] !== "").map((name) => {
      const chip = button(CHIPS[name]() + " ×", () => { change({ [name]: "", ...(name === "column" ? { value: "" } : {}) }); byId("result-count").focus(); }, "Remove the filter: " + CHIPS[name]());
      chip.className = "chip";
      return chip;
    }));
    byId("clear").hidden = NAMES.every((name) => name === "sort" || state[name] === "");
    draw();
  };
  const showControls = () => { for (const [name, id] of Object.entries(CONTROLS)) if (document.activeElement !== byId(id) || byId(id).value !== state[name]) byId(id).value = state[name]; };
  const current = () => address(state);
  const change = (given, replace = false) => {
    Object.assign(state, given);
    history[replace ? "replaceState" : "pushState"](null, "", current());
    showControls();
    apply();
  };
  // An address as of a number of this page: its filters and none else.
  const read = () => {
    if (location.hash !== "" && !location.hash.startsWith("#?")) return false;
    const asked = new URLSearchParams(location.hash.slice(2));
    for (const name of NAMES) state[name] = asked.get(name) || "";
    quiet = true;
    if (location.hash !== "") setCounting(asked.get("count") === "statements" ? "statements" : "opinions");
    quiet = false;
    showControls();
    apply();
    return location.hash !== "";
  };
  const arrive = () => {
    if (!read()) return;
    byId("statements").scrollIntoView();
    byId("result-count").focus({ preventScroll: true });
  };
  let waiting = 0, quiet = false;
  onCounting(() => { if (!quiet) { if (location.hash.startsWith("#?")) history.replaceState(null, "", current()); apply(); } });
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ q: event.target.value.trim() }, true), 120);
  });
  for (const name of ["stance", "concern", "holder", "type", "month", "sort"]) {
    byId(CONTROLS[name]).addEventListener("change", (event) => change({ [name]: event.target.value.trim() }));
  }
  byId("holder-names").append(...data.names.map((name) => new Option(name)));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => { change(Object.fromEntries(NAMES.filter((n) => n !== "sort").map((name) => [name, ""]))); byId("search").focus(); });
  const turn = (step) => { first += step * PAGE; draw(); byId("statements").scrollIntoView(); byId("result-count").focus({ preventScroll: true }); };
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  addEventListener("hashchange", arrive);
  // A second choice of the same number leads there again.
  document.addEventListener("click", (event) => {
    const chosen = event.target.closest && event.target.closest("a[href^='#?']");
    if (chosen && chosen.getAttribute("href") === location.hash) { event.preventDefault(); arrive(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    byId("search").focus();
  });
  if (location.hash.startsWith("#?")) arrive(); else { read(); apply(); }
})();
