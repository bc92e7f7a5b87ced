// What a page can do beyond being read: tell a chart's value under the pointer
// or from key to key, ask for itself again while somebody looks, and say that
// the next one is on its way.
"use strict";

function nearest({ points, plot }, at) {
  const share = (at - plot.left) / (plot.right - plot.left);
  const time = plot.start + share * (plot.end - plot.start);
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= time) low = middle; else high = middle;
  }
  return Math.abs(points[low][0] - time) <= Math.abs(points[high][0] - time) ? low : high;
}

function show(chart, at) {
  const { svg, points, plot, line, dot, reading } = chart;
  chart.at = at;
  const [when, value] = points[at];
  const x = plot.left + (when - plot.start) / (plot.end - plot.start) * (plot.right - plot.left);
  const y = plot.bottom - (value - plot.low) / (plot.high - plot.low) * (plot.bottom - plot.top);
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  dot.setAttribute("cx", x);
  dot.setAttribute("cy", y);
  for (const mark of [line, dot]) mark.setAttribute("visibility", "visible");
  const told = new Date(when * 1000).toISOString().slice(0, 16).replace("T", " ");
  reading.textContent = `${Number(value.toPrecision(6))} at ${told} UTC`;
  svg.dataset.shown = String(when);
}

function hide(chart) {
  for (const mark of [chart.line, chart.dot]) mark.setAttribute("visibility", "hidden");
  chart.reading.textContent = chart.usual;
  delete chart.svg.dataset.shown;
}

function enliven(svg) {
  const points = JSON.parse(svg.dataset.points);
  if (points.length === 0) return;
  const plot = {};
  for (const name of ["start", "end", "low", "high", "left", "right", "top", "bottom"]) {
    plot[name] = Number(svg.dataset[name]);
  }
  const reading = svg.closest("figure").querySelector(".reading");
  const chart = {
    svg, points, plot, reading, usual: reading.textContent, at: points.length - 1,
    line: svg.querySelector(".cursor"), dot: svg.querySelector(".dot"),
  };
  const width = svg.viewBox.baseVal.width;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(chart, nearest(chart, (event.clientX - box.left) / box.width * width));
  });
  svg.addEventListener("pointerleave", () => hide(chart));
  svg.tabIndex = 0;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(chart, Math.min(Math.max(chart.at + step, 0), points.length - 1));
  });
  svg.addEventListener("blur", () => hide(chart));
}

async function renew(main, seconds) {
  const busy = document.hidden || main.contains(document.activeElement) && document.activeElement !== main ||
    !document.getSelection().isCollapsed;
  if (!busy) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const open = [...main.querySelectorAll("details")].map((one) => one.open);
        main.replaceChildren(...page.querySelector("main").childNodes);
        main.querySelectorAll("details").forEach((one, at) => { one.open = open[at] ?? false; });
        const stamp = document.querySelector("footer time");
        stamp.replaceWith(page.querySelector("footer time"));
      }
    } catch {
      // The appliance is away; what was shown stays, with its time.
    }
  }
  setTimeout(renew, seconds * 1000, main, seconds);
}

/** An answer that takes longer than a glance is waited for with a sign. */
function wait() {
  if (document.querySelector("progress.wait")) return;
  const sign = document.createElement("progress");
  sign.className = "wait";
  sign.setAttribute("aria-label", "Waiting for the answer");
  document.querySelector("header.top").append(sign);
  // Longer than any answer takes: somebody has stopped waiting.
  setTimeout(() => sign.remove(), 60000);
}

let waiting;
addEventListener("beforeunload", () => { clearTimeout(waiting); waiting = setTimeout(wait, 300); });
addEventListener("pageshow", () => {
  clearTimeout(waiting);
  document.querySelector("progress.wait")?.remove();
});

for (const svg of document.querySelectorAll("svg[data-points]")) enliven(svg);
const main = document.querySelector("main[data-fresh]");
if (main) {
  const seconds = Number(main.dataset.fresh);
  setTimeout(renew, seconds * 1000, main, seconds);
}
