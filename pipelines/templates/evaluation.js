(() => {
  "use strict";
  const { charts } = JSON.parse(document.getElementById("data").textContent);
  for (const [name, spec] of Object.entries(charts)) {
    const place = document.getElementById("chart-" + name);
    if (place && spec) {
      // Vega names its element anew, from the description.
      spec.description = place.getAttribute("aria-label");
      // ast: expressions are interpreted, not compiled, so that the page needs no right to evaluate code.
      vegaEmbed(place, spec, { actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } })
        .catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
    }
  }
  // On paper nothing can be opened, so what is folded on screen is printed open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
