/* Draws the report of payments, written as the reader's browser writes numbers and dates, in UTC as the
 * report's buckets are; the table below the charts holds the same figures. */

import { locale, t } from "./words.js";

const source = document.querySelector("#report-data");
const rows = JSON.parse(source?.textContent || "[]");
const STEP_S = { minute: 60, hour: 3600, day: 86400 };
const COMPACT_FROM = 100_000; // longer numbers leave no room on a phone
const probe = document.createElement("span");
document.body.append(probe);
const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
const utc = (form) => new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...form });
const day = utc({ day: "numeric", month: "short" });
const hour = utc({ hour: "2-digit", minute: "2-digit" });
const exact = utc(source?.dataset.by === "day" ? { dateStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
const timeText = (second, step) => {
  const at = new Date(second * 1000);
  return (step >= STEP_S.day || second % STEP_S.day === 0 ? day : hour).format(at);
};

/* Numbers of a scale: 1, 2, 5 and their tens, none finer than the smallest unit. */
function steps(places) {
  const found = [];
  for (let n = -places; n < 16; n += 1) found.push(...[1, 2, 5].map((step) => step * 10 ** n));
  return found;
}

/* As wide as its longest number. */
function widthOf(chart, texts, axis, cycle) {
  const { ticks, gap, font, _size } = chart.axes[axis];
  if (cycle > 1) return _size;
  chart.ctx.font = font[0];
  const widest = Math.max(0, ...(texts || []).map((text) => chart.ctx.measureText(text).width));
  return Math.ceil(ticks.size + gap + widest / devicePixelRatio);
}

function numbers(texts, places) {
  const most = Math.max(...texts.map(Math.abs));
  const form = new Intl.NumberFormat(locale, most >= COMPACT_FROM
    ? { notation: "compact", maximumFractionDigits: 2 } : { maximumFractionDigits: places });
  return texts.map((number) => form.format(number));
}

function draw(place, series, data, places) {
  const axis = { stroke: colour("--ink-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const size = () => ({ width: place.clientWidth, height: 240 });
  const chart = new uPlot({
    ...size(), legend: { live: true }, cursor: { y: false },
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "Etc/UTC"),
    series: [{ label: "UTC", value: (_, second) => (second == null ? "–" : exact.format(second * 1000)) }, ...series],
    axes: [
      { ...axis, space: 70, values: (_, seconds, __, ___, step) => seconds.map((second) => timeText(second, step)) },
      { ...axis, size: widthOf, incrs: steps(places), values: (_, found) => numbers(found, places) },
    ],
    scales: { y: { range: (_, low, high) => [Math.min(0, low * 1.1), Math.max(high * 1.1, 10 ** -places)] } },
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
    const currency = group.dataset.charts;
    const mine = rows.filter((row) => row.currency === currency);
    if (!mine.length) continue;
    group.hidden = false;
    const { at, values } = dense(mine);
    const text = (form) => (_, number) => (number == null ? "–" : form.format(number));
    const count = text(new Intl.NumberFormat(locale));
    const line = (label, name, more = {}) => ({ label, stroke: colour(name), width: 2, points: { show: false }, value: count, ...more });
    draw(group.querySelector('[data-chart="payments"]'), [
      line(t("Attempts"), "--ink-soft"), line(t("Completed"), "--good"), line(t("Declined"), "--bad"),
    ], [at, values((row) => row.attempts), values((row) => row.completed), values((row) => row.declined.count)], 0);
    // Read as it is written: Stripe's minor units are not always what people write (UGX).
    const places = Math.max(...mine.map((row) => (row.revenue.display.split(".")[1] || "").length));
    const money = new Intl.NumberFormat(locale, {
      style: "currency", currency, minimumFractionDigits: places, maximumFractionDigits: places,
    });
    draw(group.querySelector('[data-chart="revenue"]'), [
      line(t("Revenue"), "--accent", { fill: colour("--accent-tint"), paths: uPlot.paths.bars({ size: [0.7, 40] }), value: text(money) }),
    ], [at, values((row) => Number(row.revenue.display))], places);
  }
}
probe.remove();
