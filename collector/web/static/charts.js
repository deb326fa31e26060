// Draws every <div class="chart" data-src="…">: fetches {"x": [s, …], "series": [{"label", "kind", "values"}]}, uPlot does the rest.
(() => {
  const EVERY_MS = 10000;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const INKS = { good: "--good", bad: "--bad", warn: "--warn", plain: "--accent", soft: "--soft" };

  const options = (place, data) => ({
    width: place.clientWidth,
    height: place.clientHeight - (data.series.length > 1 ? 28 : 0),
    legend: { show: data.series.length > 1, live: true },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), // the server counts x in its own zone
    cursor: { y: false },
    padding: [8, 8, 0, 0],
    scales: { y: { range: (_u, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { stroke: colour("--soft"), grid: { show: false }, ticks: { stroke: colour("--line") }, font: "11px sans-serif",
        values: place.dataset.days ? undefined : [[3600, "{HH}:{mm}", null, null, null, null, null, null, 1],
          [60, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] },
      { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, size: 52,
        font: "11px sans-serif", values: (_u, ticks) => ticks.map((v) => (Number.isInteger(v) || !place.dataset.whole ? +v.toFixed(3) + (place.dataset.unit || "") : "")) },
    ],
    series: [{ label: place.dataset.time || "", value: "{HH}:{mm}:{ss}" }].concat(data.series.map((line) => ({
      label: line.label,
      stroke: colour(INKS[line.ink] || "--accent"),
      width: line.kind === "bars" ? 0 : 1.8,
      fill: line.kind === "bars" ? colour(INKS[line.ink] || "--accent") : undefined,
      paths: line.kind === "bars" ? uPlot.paths.bars({ size: [0.75, 24] }) : undefined,
      points: { show: line.kind !== "bars" && data.x.length < 40 },
      spanGaps: false,
    }))),
  });

  const draw = (place, data) => {
    place.replaceChildren();
    if (!data.x.length) {
      const none = document.createElement("p");
      none.className = "chart-none";
      none.textContent = place.dataset.none;
      place.append(none);
      return;
    }
    const plot = new uPlot(options(place, data), [data.x, ...data.series.map((line) => line.values)], place);
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: plot.height })).observe(place);
    place.dataset.drawn = data.x.length;
  };

  const load = async (place) => {
    try {
      const answer = await fetch(place.dataset.src, { credentials: "same-origin" });
      if (!answer.ok) return;
      place.shown = await answer.json();
      draw(place, place.shown);
    } catch { /* the connection is lost: the sign on top of the page says so, the last drawing stays */ }
  };

  const places = [...document.querySelectorAll(".chart[data-src]")];
  places.forEach(load);
  setInterval(() => { if (!document.hidden) places.forEach(load); }, EVERY_MS);
  document.addEventListener("tillwatch:theme", () => places.forEach((place) => place.shown && draw(place, place.shown)));
})();
