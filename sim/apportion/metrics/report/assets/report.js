"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("charts").textContent);
  const drawn = [];
  const probe = document.body.appendChild(Object.assign(document.createElement("span"), { hidden: true }));
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

  // How numbers are written: as in the tables.
  const minus = (text) => text.replace("-", "\u2212");
  const number = (v) => v == null ? "–" : minus(Math.abs(v) >= 100 || Number.isInteger(v) ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(3)));
  const short = (v) => Math.abs(v) >= 1e6 ? minus(`${+(v / 1e6).toPrecision(3)}M`) : Math.abs(v) >= 1e4 ? minus(`${+(v / 1e3).toPrecision(3)}k`) : number(v);
  const percent = (v) => v == null ? "–" : `${v.toFixed(1)} %`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const duration = (s) => {
    if (s < 10) return `${+s.toFixed(1)} s`;
    for (let i = 0; i < 3; i++) {
      const [unit, name] = units[i], [small, smallName] = units[i + 1];
      const whole = Math.round(s / small) * small;
      if (whole >= unit) {
        const rest = whole % unit;
        return `${Math.floor(whole / unit)} ${name}` + (rest ? ` ${rest / small} ${smallName}` : "");
      }
    }
    return `${Math.round(s)} s`;
  };
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (n) => String(n).padStart(2, "0");
  const moment = (ms, calendar) => {
    if (!calendar) return `day ${Math.floor(ms / 864e5) + 1}, ${two(Math.floor(ms % 864e5 / 36e5))}:${two(Math.floor(ms % 36e5 / 6e4))}`;
    const d = new Date(ms);
    return `${d.getUTCDate()} ${months[d.getUTCMonth()]} ${d.getUTCFullYear()}, ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  };

  // Pieces that all charts share.
  const zip = (xs, ys) => xs.map((x, i) => [x, ys[i]]);
  const base = () => ({
    animation: false, aria: { enabled: false }, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour("soft") },
    legend: { top: 0, left: 0, itemWidth: 18, itemHeight: 9, itemGap: 14, itemStyle: { opacity: 0 }, textStyle: { color: colour("ink"), fontSize: 12.5 }, inactiveColor: colour("line"), pageTextStyle: { color: colour("soft") }, pageIconColor: colour("soft") },
  });
  const tooltip = (title, unit) => ({
    trigger: "axis", confine: true, backgroundColor: colour("card"), borderColor: colour("line"), textStyle: { color: colour("ink"), fontSize: 13 },
    axisPointer: { type: "line", lineStyle: { color: colour("soft") }, label: { show: false } },
    formatter: (items) => {
      const rows = items.filter((item) => item.value[1] != null).map((item) => `<div style="display:flex;gap:14px;justify-content:space-between"><span>${item.marker}${escape(item.seriesName)}</span><b>${unit(item.value[1], item)}</b></div>`);
      return `<div style="margin-bottom:2px">${escape(title(items[0]))}</div>${rows.join("")}`;
    },
  });
  const value = (name, format, extra) => ({
    type: "value", name, nameLocation: "end", nameGap: 10, nameTextStyle: { color: colour("soft"), align: "left", fontSize: 12 },
    axisLabel: { color: colour("soft"), formatter: format, hideOverlap: true }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colour("line") } }, splitNumber: 4, ...extra,
  });
  // Time counted from the start of a trace that has no dates: days, and the hours between them.
  const since = (ms) => { const rest = ms % 864e5, s = Math.round(rest % 6e4 / 1e3); return rest < 500 ? `day ${Math.floor(ms / 864e5) + 1}` : `${two(Math.floor(rest / 36e5))}:${two(Math.floor(rest % 36e5 / 6e4))}${s ? `:${two(s)}` : ""}`; };
  let onPaper = false;
  const PAPER = 670;  // px of a printed page
  const widthOf = (el) => onPaper ? PAPER : el.clientWidth;
  const narrow = (el) => widthOf(el) < 520;
  const timeAxis = (calendar, el, extra) => ({
    type: "time", min: "dataMin", max: "dataMax", splitNumber: Math.max(3, Math.round(widthOf(el) / 140)), splitLine: { show: false },
    axisLine: { onZero: false, lineStyle: { color: colour("line") } }, axisTick: { lineStyle: { color: colour("line") } },
    axisLabel: {
      color: colour("soft"), hideOverlap: true, alignMaxLabel: "right",
      formatter: calendar ? { year: "{MMM} {yyyy}", month: "{MMM} {yyyy}", day: "{d} {MMM}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}", millisecond: "{HH}:{mm}:{ss}" } : since,
    }, ...extra,
  });
  const zoom = (axes) => [
    { type: "inside", xAxisIndex: axes, zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, filterMode: "none" },
    { type: "slider", show: !onPaper, xAxisIndex: axes, height: 22, bottom: 6, borderColor: colour("line"), fillerColor: colour("even-bg"), backgroundColor: "transparent", showDetail: false, brushSelect: false, filterMode: "none",
      dataBackground: { lineStyle: { color: colour("soft"), opacity: .5 }, areaStyle: { color: colour("soft"), opacity: .15 } },
      selectedDataBackground: { lineStyle: { color: colour("c0") }, areaStyle: { color: colour("c0"), opacity: .2 } },
      handleStyle: { color: colour("card"), borderColor: colour("soft") }, moveHandleStyle: { color: colour("line") }, emphasis: { handleStyle: { borderColor: colour("ink") }, moveHandleStyle: { color: colour("soft") } } },
  ];
  const line = (name, xs, ys, hue, extra) => ({
    name, type: "line", data: zip(xs, ys), showSymbol: false, symbol: "none", lineStyle: { width: 1.6 }, itemStyle: { color: colour(hue) }, connectNulls: false, emphasis: { disabled: true }, ...extra,
  });
  // Lines of several runs differ in dash as well, for those who cannot tell the hues apart.
  const dashes = ["solid", [7, 3], [2, 3], [9, 3, 2, 3]];
  const fixed = { outerBoundsMode: "none" };  // the same margins for charts one above the other
  const hue = (i) => `c${i % 8}`;
  const waitAxis = (last, el) => {
    const nice = [10, 60, 600, 3600, 21600, 86400, 604800, 2592000];
    const most = Math.max(last, 10), ticks = [10 ** -0.25, ...nice.filter((s) => s <= most * 1.05)];
    const shown = narrow(el) ? ticks.filter((s) => ![10, 600, 21600].includes(s)) : ticks;
    return {
      type: "value", min: -0.5, max: Math.log10(most), name: "wait", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: colour("soft"), fontSize: 12 },
      splitLine: { show: false }, axisLine: { onZero: false, lineStyle: { color: colour("line") } },
      axisTick: { show: true, customValues: [1, ...shown.slice(1)].map(Math.log10), lineStyle: { color: colour("line") } },
      axisLabel: { color: colour("soft"), customValues: shown.map(Math.log10), formatter: (v) => v < -0.1 ? "under 1 s" : duration(10 ** v) },
    };
  };

  const make = {
    load(d, el) {
      const slim = narrow(el), left = slim ? 46 : 56, right = slim ? 28 : 56;
      return {
        ...base(), useUTC: true,
        tooltip: tooltip((item) => moment(item.value[0], d.calendar), (v, item) => item.seriesName.startsWith("processors in use") ? `${number(v)} (${percent(100 * v / d.capacity[item.dataIndex])})` : number(v)),
        axisPointer: { link: [{ xAxisIndex: "all" }] },
        grid: [{ ...fixed, left, right, top: slim ? 84 : 56, height: slim ? 120 : 165 }, { ...fixed, left, right, top: slim ? 240 : 262, bottom: 64 }],
        xAxis: [timeAxis(d.calendar, el, { gridIndex: 0, axisLabel: { show: false } }), timeAxis(d.calendar, el, { gridIndex: 1 })],
        yAxis: [value("processors", short, { gridIndex: 0, min: 0, nameTextStyle: { color: colour("soft"), align: "left", fontSize: 12, padding: [0, 0, 0, -left + 4] } }),
          value("jobs", short, { gridIndex: 1, min: 0, splitNumber: 3, nameTextStyle: { color: colour("soft"), align: "left", fontSize: 12, padding: [0, 0, 0, -left + 4] } }),
          value("processors", short, { gridIndex: 1, min: 0, splitNumber: 3, show: !slim, splitLine: { show: false }, nameTextStyle: { color: colour("soft"), align: "right", fontSize: 12, padding: [0, -right + 4, 0, 0] } })],
        dataZoom: zoom([0, 1]),
        series: [
          line("processors in use", d.t, d.used, "c0", { xAxisIndex: 0, yAxisIndex: 0, lineStyle: { width: 1 }, areaStyle: { opacity: .35 } }),
          line("processors there are", d.t, d.capacity, "ink", { xAxisIndex: 0, yAxisIndex: 0, step: "end", lineStyle: { width: 1.2, type: [4, 3] } }),
          line("jobs waiting", d.t, d.queued_jobs, "c1", { xAxisIndex: 1, yAxisIndex: 1, lineStyle: { width: 1 }, areaStyle: { opacity: .35 } }),
          ...(slim ? [] : [line("processors they ask for", d.t, d.queued_procs, "c5", { xAxisIndex: 1, yAxisIndex: 2, lineStyle: { width: 1, type: [4, 2] } })]),  // no room for its scale
        ],
      };
    },
    waits(d, el) {
      const log = (s) => Math.log10(s), last = d.to.at(-1);
      const bars = [...d.from.map((s, i) => [log(s), d.jobs[i]]), [log(last), d.jobs.at(-1)]];
      return {
        ...base(), grid: { ...fixed, left: 52, right: 46, top: 52, bottom: 44 },
        tooltip: tooltip((item) => { const at = d.to.findIndex((s) => log(s) > item.value[0] + 1e-9); return at === 0 ? "under 1 s" : at < 0 ? "" : `${duration(d.from[at])} to ${duration(d.to[at])}`; },
          (v, item) => item.seriesName === "jobs" ? number(v) : percent(v)),
        xAxis: waitAxis(last, el),
        yAxis: [value("jobs", short, { min: 0, nameTextStyle: { color: colour("soft"), align: "right", padding: [0, 8, 0, 0] } }), value("waited at most so long", (v) => `${v} %`, { min: 0, max: 100, interval: 25, splitLine: { show: false }, nameTextStyle: { color: colour("soft"), align: "right", padding: [0, -30, 0, 0] } })],
        series: [
          line("jobs", bars.map((b) => b[0]), bars.map((b) => b[1]), "c0", { step: "end", areaStyle: { opacity: .4 }, lineStyle: { width: 1 } }),
          line("part of the jobs", d.to.map(log), d.at_most, "c1", { yAxisIndex: 1 }),
          line("part of the work", d.to.map(log), d.work_at_most, "c5", { yAxisIndex: 1, lineStyle: { width: 1.6, type: [5, 3] } }),
        ],
      };
    },
    shares(d, el) {
      const series = d.groups.flatMap((g) => [
        line(g.name, d.t, g.so_far, hue(g.hue)),
        ...(g.target == null ? [] : [line(g.name, [d.t[0], d.t.at(-1)], [g.target, g.target], hue(g.hue), { lineStyle: { width: 1, type: [4, 4], opacity: .8 }, silent: true, tooltip: { show: false } })]),
      ]);
      const tip = tooltip((item) => moment(item.value[0], d.calendar), percent), write = tip.formatter;
      tip.formatter = (items) => { const seen = new Set(); return write(items.filter((item) => !seen.has(item.seriesName) && seen.add(item.seriesName))); };
      return { ...base(), useUTC: true, legend: { ...base().legend, type: "scroll", data: d.groups.map((g) => g.name) }, grid: { ...fixed, left: 46, right: 28, top: 40, bottom: 28 }, tooltip: tip, xAxis: timeAxis(d.calendar, el), yAxis: value("", (v) => `${v} %`, { min: 0 }), series };
    },
    errors(d, el) {
      return {
        ...base(), useUTC: true, grid: { ...fixed, left: 46, right: 28, top: 34, bottom: 28 }, tooltip: tooltip((item) => `${moment(item.value[0], d.calendar)}, ${duration(d.piece_s)}`, percent),
        xAxis: timeAxis(d.calendar, el), yAxis: value("", (v) => `${v} %`, { min: 0, max: 100, interval: 25 }),
        series: [line("share error", d.t, d.plain, "c0", { step: "end", lineStyle: { width: 1 }, areaStyle: { opacity: .2 } }), line("among those with work to run", d.t, d.among_demand, "c1", { step: "end" })],
      };
    },
    waits_of_runs(d, el) {
      const last = Math.max(...d.lines.map((l) => l.to.at(-1)));
      return {
        ...base(), grid: { ...fixed, left: 52, right: 20, top: 44, bottom: 44 }, tooltip: tooltip((item) => `waited at most ${duration(10 ** item.value[0])}`, percent),
        xAxis: waitAxis(last, el), yAxis: value("", (v) => `${v} %`, { min: 0, max: 100, interval: 25 }),
        series: d.lines.map((l, i) => line(l.name, [...l.to.map(Math.log10), Math.log10(last)], [...l.at_most, 100], hue(i), { lineStyle: { width: 2, type: dashes[i % 4] } })),
      };
    },
    balance(d, el) {
      const core_h = (v) => `${v > 0 ? "+" : ""}${number(v)} core-h`;
      return {
        ...base(), useUTC: true, legend: { ...base().legend, type: "scroll" }, grid: { ...fixed, left: 76, right: 28, top: 40, bottom: 28 }, tooltip: tooltip((item) => moment(item.value[0], d.calendar), core_h),
        xAxis: timeAxis(d.calendar, el), yAxis: value("", (v) => number(v)), series: d.lines.map((l, i) => line(l.name, d.t, l.core_h, hue(i), { lineStyle: { width: 1.6, type: dashes[i % 4] } })),
      };
    },
    quotas(d, el) {
      const slim = narrow(el), left = slim ? 46 : 56, axis = { color: colour("soft"), align: "left", fontSize: 12, padding: [0, 0, 0, -left + 4] };
      const at = (k) => ({ xAxisIndex: k, yAxisIndex: k });
      const rank = d.lines.map((l) => l.hue).sort((a, b) => a - b);
      const look = (hue, extra) => ({ lineStyle: { width: 1.4, type: dashes[rank.indexOf(hue) % 4] }, ...extra });
      const tip = tooltip((item) => moment(item.value[0], d.calendar), (v) => v);
      const plain = tip.formatter;
      tip.formatter = (items) => plain([...new Map(items.map((item) => [item.seriesName, item])).values()].map((item) => {
        const l = d.lines.find((other) => other.name === item.seriesName), k = d.t.indexOf(item.value[0]);
        const words = [`${number(l.used[k])} of ${number(l.quota)}`, ...(l.borrowed[k] > 0 ? [`borrowed ${number(l.borrowed[k])}`] : []), ...(l.lent[k] < 0 ? [`lent ${number(-l.lent[k])}`] : [])];
        return { ...item, value: [item.value[0], words.join(", ")] };
      }));
      return {
        ...base(), useUTC: true, tooltip: tip, axisPointer: { link: [{ xAxisIndex: "all" }] }, legend: { ...base().legend, type: "scroll", data: d.lines.map((l) => l.name) },
        grid: [{ ...fixed, left, right: 28, top: 56, height: slim ? 118 : 150 }, { ...fixed, left, right: 28, top: slim ? 218 : 250, bottom: 64 }],
        xAxis: [timeAxis(d.calendar, el, { gridIndex: 0, axisLabel: { show: false } }), timeAxis(d.calendar, el, { gridIndex: 1 })],
        yAxis: [value("processors in use; the straight lines are quotas", short, { gridIndex: 0, min: 0, nameTextStyle: axis }), value("borrowed above 0, lent below", short, { gridIndex: 1, nameTextStyle: axis })],
        dataZoom: zoom([0, 1]),
        series: d.lines.flatMap((l) => [
          line(l.name, d.t, l.used, hue(l.hue), { ...at(0), ...look(l.hue) }),
          line(l.name, [d.t[0], d.t.at(-1)], [l.quota, l.quota], hue(l.hue), { ...at(0), lineStyle: { width: 1, opacity: .55 }, silent: true, tooltip: { show: false } }),
          line(l.name, d.t, l.borrowed, hue(l.hue), { ...at(1), ...look(l.hue, { areaStyle: { opacity: .15 } }) }),
          line(l.name, d.t, l.lent, hue(l.hue), { ...at(1), ...look(l.hue, { areaStyle: { opacity: .15 } }) }),
        ]),
      };
    },
    budgets(d, el) {
      const rank = d.lines.map((l) => l.hue).sort((a, b) => a - b);
      const tip = tooltip((item) => moment(item.value[0], d.calendar), percent), write = tip.formatter;
      tip.formatter = (items) => write([...new Map(items.map((item) => [item.seriesName, item])).values()]);  // at the end of a period, what has begun
      return {
        ...base(), useUTC: true, tooltip: tip, legend: { ...base().legend, type: "scroll", data: d.lines.map((l) => l.name) }, grid: { ...fixed, left: 52, right: 28, top: 44, bottom: 64 },
        xAxis: timeAxis(d.calendar, el), yAxis: value("", (v) => `${v} %`, { min: 0 }), dataZoom: zoom([0]),
        series: d.lines.map((l) => line(l.name, d.t, l.percent, hue(l.hue), { lineStyle: { width: 1.4, type: dashes[rank.indexOf(l.hue) % 4] } })),
      };
    },
    centers(d, el) { return this.overlay(d, el); },
    overlay(d, el) {
      const slim = narrow(el), left = slim ? 46 : 56, axis = { align: "left" };
      const each = (key, at) => d.lines.map((l, i) => line(l.name, l.t, l[key], hue(i), { xAxisIndex: at, yAxisIndex: at, lineStyle: { width: 1.3, type: dashes[i % 4] } }));
      const tip = tooltip((item) => moment(item.value[0], d.calendar), (v, item) => item.seriesIndex < d.lines.length ? percent(v) : `${number(v)} jobs`);
      return {
        ...base(), useUTC: true, tooltip: tip, axisPointer: { link: [{ xAxisIndex: "all" }] },
        grid: [{ ...fixed, left, right: 28, top: 62, height: slim ? 120 : 150 }, { ...fixed, left, right: 28, top: slim ? 222 : 256, bottom: 64 }],
        xAxis: [timeAxis(d.calendar, el, { gridIndex: 0, axisLabel: { show: false } }), timeAxis(d.calendar, el, { gridIndex: 1 })],
        yAxis: [value("utilization", (v) => `${v} %`, { gridIndex: 0, min: 0, max: 100, interval: 25, nameTextStyle: { color: colour("soft"), ...axis } }), value("jobs waiting", short, { gridIndex: 1, min: 0, splitNumber: 3, nameTextStyle: { color: colour("soft"), ...axis } })],
        dataZoom: zoom([0, 1]), series: [...each("used", 0), ...each("queued_jobs", 1)],
      };
    },
  };

  const paint = () => drawn.forEach(({ chart, name, el }) => chart.setOption(make[name](data[name], el), true));
  document.querySelectorAll("[data-chart]").forEach((el) => {
    const name = el.dataset.chart;
    if (!data[name]) return;
    drawn.push({ el, name, chart: echarts.init(el, null, { renderer: "svg" }) });
  });
  paint();
  let width = innerWidth, waiting = 0;
  const resize = () => { drawn.forEach(({ chart }) => chart.resize()); paint(); };
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(waiting); waiting = setTimeout(resize, 120); } });
  addEventListener("beforeprint", () => { onPaper = true; drawn.forEach(({ chart }) => chart.resize({ width: PAPER })); paint(); });
  addEventListener("afterprint", () => { onPaper = false; resize(); });

  // Light and dark.
  const button = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-pressed", isDark()); button.setAttribute("aria-label", `Show in ${isDark() ? "light" : "dark"} colours`); };
  const show = () => { label(); paint(); };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); });
  system.addEventListener("change", show);
  matchMedia("print").addEventListener("change", paint);
  label();

  // Tables that sort by a click on a column's name.
  document.querySelectorAll("table.sortable").forEach((table) => table.querySelectorAll("thead th").forEach((th, at) => {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.append(...th.childNodes);
    th.append(sorter);
    sorter.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[at].dataset.v ?? "", rows = [...table.tBodies[0].rows];
      const numeric = rows.every((row) => key(row) === "" || !isNaN(key(row)));
      const order = (a, b) => numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
      rows.sort((a, b) => key(a) === "" ? 1 : key(b) === "" ? -1 : (down ? -1 : 1) * order(key(a), key(b)));
      table.tBodies[0].append(...rows);
    });
  }));

  // The words of a bar at once, rather than after the browser's delay.
  const tip = document.body.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
  tip.setAttribute("aria-hidden", "true");
  document.querySelectorAll(".bars").forEach((bars) => {
    const move = (event) => {
      const bar = event.target.closest("path");
      tip.hidden = !bar;
      if (!bar) return;
      const title = bar.querySelector("title");
      if (title) { bar.dataset.words = title.textContent; title.remove(); }
      tip.textContent = bar.dataset.words;
      tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
    };
    bars.addEventListener("pointermove", move);
    bars.addEventListener("pointerdown", move);
    bars.addEventListener("pointerleave", () => { tip.hidden = true; });
  });
})();
