(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 50, FIRST_HOLDERS = 20;
  const byId = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en").format;

  // Texts of the corpus enter the page here and nowhere else, as text nodes.
  const make = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
    return node;
  };
  const button = (label, onClick, description) => {
    const node = make("button", "", label);
    node.type = "button";
    if (description) node.setAttribute("aria-label", description);
    node.addEventListener("click", onClick);
    return node;
  };
  // Search passes over case and accents.
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

  for (const [name, spec] of Object.entries(data.charts)) {
    const place = byId("chart-" + name);
    if (place && spec) {
      spec.description = place.getAttribute("aria-label"); // or Vega writes its own name over it
      // ast: expressions are interpreted, not compiled, so that the page needs no right to evaluate code.
      vegaEmbed(place, spec, { actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } })
        .catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
    }
  }
  if (!byId("filters")) return;

  const rows = data.statements.map(([document_, text, name, type, stance, share, concerns]) => {
    const [title, publisher, published, link, source] = data.documents[document_];
    const [holder, group] = name < 0 ? [null, -1] : data.names[name];
    return { text, holder, group, type, stance, share, concerns, title, publisher, published, link, source,
      sought: plain([text, holder, title, publisher].filter(Boolean).join("\n")) };
  });
  const state = { words: [], stance: "", concern: "", type: "", holder: null, page: 0 };
  let found = rows;

  const statementRow = (row) => {
    const stance = make("div", "stance s" + row.stance, data.stances[row.stance]);
    if (row.share !== null) stance.append(make("span", "sub", Math.round(row.share * 100) + "% sure"));
    const statement = make("td", "", make("p", "text", row.text));
    statement.firstChild.dir = "auto";
    if (row.concerns.length) statement.append(make("p", "tags", row.concerns.map((c) => data.concerns[c]).join(" · ")));
    const holder = make("td", "");
    if (row.holder !== null) {
      holder.append(button(row.holder, () => choose(row.group, ""), "All statements of " + row.holder));
      holder.append(make("span", "sub", data.types[row.type]));
    } else if (row.type < data.types.length - 1) {
      holder.append(make("span", "soft", data.types[row.type]));
    } else {
      holder.append(make("span", "soft", "Not named"));
    }
    const source = make("td", "");
    const heading = row.title || row.link || row.source;
    if (row.link) {
      const link = make("a", "", heading);
      link.href = row.link;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      source.append(link);
    } else if (heading) {
      source.append(heading);
    }
    if (row.publisher || row.published) {
      source.append(make("span", "sub", row.publisher, row.publisher && row.published ? ", " : null,
        row.published && make("span", "date", row.published)));
    }
    return make("tr", "", make("td", "", stance), statement, holder, source);
  };

  const draw = () => {
    const first = state.page * PAGE, last = Math.min(first + PAGE, found.length);
    const body = byId("statement-table").tBodies[0];
    body.replaceChildren(...found.slice(first, last).map(statementRow));
    if (!found.length) {
      const cell = make("td", "empty", "No statement fits these filters.");
      cell.colSpan = 4;
      body.append(make("tr", "", cell));
    }
    const pager = document.querySelector(".pager");
    pager.hidden = found.length <= PAGE;
    byId("page-range").textContent = number(first + 1) + "–" + number(last) + " of " + number(found.length);
    byId("previous").disabled = first === 0;
    byId("next").disabled = last === found.length;
  };

  const filter = () => {
    found = rows.filter((row) =>
      (state.stance === "" || row.stance === Number(state.stance)) &&
      (state.concern === "" || row.concerns.includes(Number(state.concern))) &&
      (state.type === "" || row.type === Number(state.type)) &&
      (state.holder === null || row.group === state.holder) &&
      state.words.every((word) => row.sought.includes(word)));
    state.page = 0;
    byId("result-count").textContent = found.length === rows.length
      ? (rows.length === 1 ? "1 statement" : "All " + number(rows.length) + " statements")
      : number(found.length) + " of " + number(rows.length) + " statements";
    byId("clear-holder").hidden = state.holder === null;
    byId("clear").hidden = !(state.words.length || state.stance || state.concern || state.type || state.holder !== null);
    draw();
  };

  const nameOf = (group) => (data.positions[group] || data.names.find((name) => name[1] === group))[0];
  const clear = () => {
    for (const id of ["search", "filter-stance", "filter-concern", "filter-type"]) byId(id).value = "";
    Object.assign(state, { words: [], stance: "", concern: "", type: "", holder: null });
  };
  const choose = (group, stance) => {
    clear();
    Object.assign(state, { holder: group, stance: String(stance) });
    byId("filter-stance").value = state.stance;
    byId("clear-holder").textContent = "Held by " + nameOf(group);
    byId("clear-holder").setAttribute("aria-label", "Remove the filter: held by " + nameOf(group));
    filter();
    byId("statements").scrollIntoView();
    byId("result-count").focus({ preventScroll: true });
  };

  let waiting = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      state.words = plain(event.target.value).split(/\s+/).filter(Boolean);
      filter();
    }, 120);
  });
  for (const name of ["stance", "concern", "type"]) {
    byId("filter-" + name).addEventListener("change", (event) => { state[name] = event.target.value; filter(); });
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => { clear(); filter(); byId("search").focus(); });
  byId("clear-holder").addEventListener("click", () => { state.holder = null; filter(); byId("result-count").focus(); });
  const turn = (step) => { state.page += step; draw(); byId("statements").scrollIntoView(); };
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));

  const positions = byId("positions");
  if (positions) {
    const compare = new Intl.Collator("en").compare;
    const columns = [
      { name: "Holder", value: (p) => p[0], text: true },
      { name: "", className: "bar" },
      ...data.order.map((stance) => ({ name: data.stances[stance], value: (p) => p[3][stance], className: "number", stance })),
      { name: "All", value: (p) => p[2], className: "number all" },
      { name: "Documents", value: (p) => p[4], className: "number documents" },
      { name: "Published", value: (p) => p[6] || "", className: "dates" },
    ];
    const listed = data.positions.map((position, group) => ({ position, group }));
    let sorted = columns.findIndex((column) => column.name === "All"), ascending = false, all = false;

    const positionRow = ({ position, group }) => {
      const [holder, type, n, counts, documents, first, last] = position;
      const strip = make("div", "strip", ...data.order.filter((s) => counts[s]).map((s) => {
        const part = make("span", "s" + s);
        part.style.flexGrow = counts[s];
        return part;
      }));
      strip.setAttribute("aria-hidden", "true");
      const name = make("th", "", button(holder, () => choose(group, "")), make("span", "sub", data.types[type]));
      name.scope = "row";
      const cells = data.order.map((stance) => make("td", "number", counts[stance]
        ? button(number(counts[stance]), () => choose(group, stance), holder + ", " + data.stances[stance] + ": " + counts[stance])
        : make("span", "zero", "0")));
      const [from, to] = [first, last].map((date) => (date || "").slice(0, 7));
      const dates = from === to ? from : from + " to " + to;
      return make("tr", "", name, make("td", "bar", strip), ...cells,
        make("td", "number", number(n)), make("td", "number documents", number(documents)), make("td", "dates", dates));
    };
    const drawPositions = () => {
      const { value, text } = columns[sorted];
      const sign = ascending ? 1 : -1;
      listed.sort((a, b) => {
        const [x, y] = [value(a.position), value(b.position)];
        return sign * (text ? compare(x, y) : (x > y) - (x < y)) || a.group - b.group;
      });
      positions.tBodies[0].replaceChildren(...listed.slice(0, all ? undefined : FIRST_HOLDERS).map(positionRow));
      [...positions.tHead.rows[0].cells].forEach((cell, i) => {
        if (i === sorted) cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
      });
    };
    const head = make("tr", "", ...columns.map((column, i) => {
      if (!column.value) return make("td", column.className);
      const cell = make("th", column.className, button(column.name, () => {
        ascending = sorted === i ? !ascending : Boolean(column.text);
        sorted = i;
        drawPositions();
      }));
      if (column.stance !== undefined) cell.firstChild.prepend(make("span", "swatch s" + column.stance));
      cell.scope = "col";
      return cell;
    }));
    positions.append(make("thead", "", head), make("tbody", ""));
    const more = byId("more-positions");
    more.hidden = listed.length <= FIRST_HOLDERS;
    more.textContent = "Show all " + number(listed.length) + " holders";
    more.addEventListener("click", () => {
      all = !all;
      more.textContent = all ? "Show the first " + FIRST_HOLDERS : "Show all " + number(listed.length) + " holders";
      drawPositions();
    });
    drawPositions();
  }
  filter();
})();
