// Charts: a panel for each label over time, with its table, and the chart of calibration.
(() => {
  const { data, byId, make, mark, link, percent, counting, onCounting, address, number } = page;
  // ast: expressions are interpreted, not compiled, so that the page needs no right to evaluate code.
  const draw = (place, spec) => {
    spec.description = place.getAttribute("aria-label"); // or Vega writes its own name over it
    return vegaEmbed(place, spec, { actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } })
      .catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
  };
  if (data.charts.reliability && byId("chart-reliability")) draw(byId("chart-reliability"), data.charts.reliability);

  const panels = byId("trend-panels");
  if (!panels) return;
  // Rows as they are packed: place of the label, place of the reason, and no plain share, which is n of of.
  for (const period of ["month", "quarter"]) {
    for (const way of Object.keys(data.trend[period] || {})) {
      data.trend[period][way] = data.trend[period][way].map(([time, label, share, low, high, reason, n, of]) => {
        const [kind, ...id] = data.trend.labels[label].split(":");
        return [time, kind, id.join(":"), share, low, high, reason === null ? null : data.trend.reasons[reason], of ? n / of : null, n, of];
      });
    }
  }
  // Of months and quarters first the ones of which more have an estimate, as a share; months where it is the same.
  const estimated = (period) => {
    const rows = data.trend[period].opinions.filter((r) => r[1] === "stance");
    return rows.filter((r) => r[3] !== null).length / Math.max(1, rows.length);
  };
  const periods = ["month", "quarter"].filter((p) => data.trend[p]);
  let period = periods.length === 2 && estimated("quarter") > estimated("month") ? "quarter" : periods[0];
  let what = "stance";
  const middle = (p) => {
    const quarter = /^(\d{4})-Q(\d)$/.exec(p);
    if (quarter) return quarter[1] + "-" + String(3 * Number(quarter[2]) - 1).padStart(2, "0") + "-15";
    return p.length === 4 ? p + "-07-01" : p.length === 7 ? p + "-15" : p;
  };
  const labels = () => what.startsWith("concern:")
    ? data.concerns.filter(([id]) => id === what.slice(8)).map(([id, name]) => ({ id, name, stance: -1 }))
    : data.order.map((i) => ({ id: data.stances[i].id, name: data.stances[i].name, stance: i }))
        .filter((l) => what !== "position" || data.stances[l.stance].polarity !== "neutral");
  const measure = () => what.startsWith("concern:") ? "concern" : what;
  const filters = (row) => ({
    ...(measure() === "concern" ? { concern: row[2] } : { stance: row[2] }), [period]: row[0],
  });
  const rowsOf = (label) => data.trend[period][counting()]
    .filter((row) => row[1] === measure() && row[2] === label.id).sort((a, b) => (a[0] < b[0] ? -1 : 1));

  // Where an estimate is missing, the broken line joins the plain shares to the estimates beside them.
  const figures = (rows) => rows.map((row, i) => {
    const [p, , , share, low, high, , plain, n, of] = row;
    const bare = (r) => r && r[3] === null;
    const joined = share === null ? plain : bare(rows[i - 1]) || bare(rows[i + 1]) ? share : null;
    return { at: middle(p), period: p, share, low, high, plain: share === null ? plain : null, joined, counted: number(n) + " of " + number(of), link: address(filters(row)) };
  });
  const views = [];
  const show = () => {
    for (const view of views.splice(0)) view.then((made) => made && made.view && made.view.finalize());
    const shown = labels().map((label) => [label, rowsOf(label)]);
    const most = Math.max(0.1, ...shown.flatMap(([, rows]) => rows.flatMap((r) => [r[5] ?? 0, r[3] ?? r[7] ?? 0])));
    panels.replaceChildren(...shown.map(([label, rows]) => {
      const place = make("div", "chart");
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", label.name + " by " + period + ". The figures stand in the table below.");
      const heading = make("h3", "", label.stance < 0 ? null : mark(label.stance), label.name);
      const panel = make("div", "panel " + (label.stance < 0 ? "plain" : "s" + label.stance + " " + data.stances[label.stance].polarity), heading, place);
      if (!rows.length) { place.replaceWith(make("p", "missing", "No " + period + " has enough for a share.")); return panel; }
      const spec = structuredClone(data.charts.trend);
      spec.datasets.figures = figures(rows);
      spec.params.find((p) => p.name === "top").value = Math.min(1, Math.ceil(most * 10 + 0.001) / 10);
      queueMicrotask(() => views.push(draw(place, spec).then((made) => {
        if (made) made.view.addEventListener("click", (_, item) => { if (item && item.datum && item.datum.link) location.hash = item.datum.link; });
        return made;
      })));
      return panel;
    }));
    table(shown);
  };
  const table = (shown) => {
    const times = [...new Set(shown.flatMap(([, rows]) => rows.map((r) => r[0])))].sort();
    const head = make("tr", "", ...["Published", ...shown.map(([label]) => label)].map((label) => {
      const cell = typeof label === "string" ? make("th", "", label) : make("th", "", label.stance < 0 ? null : mark(label.stance), label.name);
      cell.scope = "col";
      return cell;
    }));
    const body = times.map((time) => {
      const name = make("th", "", time);
      name.scope = "row";
      return make("tr", "", name, ...shown.map(([label, rows]) => {
        const row = rows.find((r) => r[0] === time);
        if (!row) return make("td", "", make("span", "soft", "–"));
        const [, , , share, low, high, reason, , n, of] = row;
        const count = n ? link(number(n), filters(row), number(n) + " of " + number(of) + ", " + label.name + ", " + time + ": show them") : "0";
        return make("td", "",
          share === null ? make("span", "reason", reason || "not estimated")
            : make("span", "", make("span", "value", percent(share)), " ", make("span", "range", Math.round(100 * low) + " to " + Math.round(100 * high) + " %")),
          make("span", "sub", count, " of " + number(of) + " counted"));
      }));
    });
    byId("trend-table").replaceChildren(make("thead", "", head), make("tbody", "", ...body));
  };
  byId("trend-what").addEventListener("change", (event) => { what = event.target.value; show(); });
  for (const box of document.querySelectorAll("input[name=period]")) {
    box.checked = box.value === period;
    box.addEventListener("change", () => { period = box.value; show(); });
  }
  byId("trend-controls").addEventListener("submit", (event) => event.preventDefault());
  onCounting(show);
  show();
})();
