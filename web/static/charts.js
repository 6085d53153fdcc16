/* Draws the report of payments; the table below the charts holds the same figures. */

const rows = JSON.parse(document.querySelector("#report-data")?.textContent || "[]");
const probe = document.createElement("span");
document.body.append(probe);
const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };

function draw(place, series, data) {
  const axis = { stroke: colour("--ink-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const size = () => ({ width: place.clientWidth, height: 240 });
  const chart = new uPlot({
    ...size(), series: [{}, ...series], axes: [axis, { ...axis, size: 60 }], legend: { live: true }, cursor: { y: false },
    scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(high * 1.1, 1)] } },
  }, data, place);
  new ResizeObserver(() => chart.setSize(size())).observe(place);
}

if (window.uPlot) {
  for (const group of document.querySelectorAll("[data-charts]")) {
    const mine = rows.filter((row) => row.currency === group.dataset.charts);
    if (!mine.length) continue;
    group.hidden = false;
    const at = mine.map((row) => Date.parse(row.start) / 1000);
    const bars = uPlot.paths.bars({ size: [0.6, 40] });
    const line = (label, name, more = {}) => ({ label, stroke: colour(name), width: 2, points: { show: mine.length < 60 }, ...more });
    draw(group.querySelector('[data-chart="payments"]'), [
      line("Attempts", "--ink-soft"), line("Completed", "--good"), line("Declined", "--bad"),
    ], [at, mine.map((row) => row.attempts), mine.map((row) => row.completed), mine.map((row) => row.declined.count)]);
    const places = (mine[0].revenue.display.split(".")[1] || "").length;
    draw(group.querySelector('[data-chart="revenue"]'), [
      line("Revenue", "--accent", { fill: colour("--accent-tint"), paths: bars, points: { show: false } }),
    ], [at, mine.map((row) => row.revenue.amount / 10 ** places)]);
  }
}
probe.remove();
