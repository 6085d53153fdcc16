/* Draws the report of payments; the table below the charts holds the same figures. */

const source = document.querySelector("#report-data");
const rows = JSON.parse(source?.textContent || "[]");
const STEP_S = { minute: 60, hour: 3600, day: 86400 };
const probe = document.createElement("span");
document.body.append(probe);
const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };

function draw(place, series, data, incrs) {
  const axis = { stroke: colour("--ink-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const size = () => ({ width: place.clientWidth, height: 240 });
  const chart = new uPlot({
    ...size(), series: [{}, ...series], axes: [axis, { ...axis, size: 60, ...(incrs ? { incrs } : {}) }], legend: { live: true }, cursor: { y: false },
    scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(high * 1.1, 1)] } },
  }, data, place);
  new ResizeObserver(() => chart.setSize(size())).observe(place);
}

/* The whole range, with zeros where nothing happened, so that a line is as long as the time it tells of. */
function dense(mine) {
  const step = STEP_S[source.dataset.by];
  const first = Date.parse(source.dataset.from) / 1000;
  const count = Math.max(1, Math.round((Date.parse(source.dataset.to) / 1000 - first) / step));
  const by = new Map(mine.map((row) => [Date.parse(row.start) / 1000, row]));
  const at = Array.from({ length: count }, (_, n) => first + n * step);
  return { at, values: (of) => at.map((second) => (by.has(second) ? of(by.get(second)) : 0)) };
}

if (window.uPlot && source) {
  for (const group of document.querySelectorAll("[data-charts]")) {
    const mine = rows.filter((row) => row.currency === group.dataset.charts);
    if (!mine.length) continue;
    group.hidden = false;
    const { at, values } = dense(mine);
    const line = (label, name, more = {}) => ({ label, stroke: colour(name), width: 2, points: { show: false }, ...more });
    draw(group.querySelector('[data-chart="payments"]'), [
      line("Attempts", "--ink-soft"), line("Completed", "--good"), line("Declined", "--bad"),
    ], [at, values((row) => row.attempts), values((row) => row.completed), values((row) => row.declined.count)],
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]);
    const places = (mine[0].revenue.display.split(".")[1] || "").length;
    draw(group.querySelector('[data-chart="revenue"]'), [
      line("Revenue", "--accent", { fill: colour("--accent-tint"), paths: uPlot.paths.bars({ size: [0.7, 40] }) }),
    ], [at, values((row) => row.revenue.amount / 10 ** places)]);
  }
}
probe.remove();
