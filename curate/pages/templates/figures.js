// Plots: plotly is unpacked when the first one comes into view, and each is drawn when it does.

const DENSITY = { // sparse to dense
  light: [[0, "#a9cfd2"], [0.5, "#0f6e78"], [1, "#0a2530"]],
  dark: [[0, "#4a7f89"], [0.5, "#5cc4cf"], [1, "#fdf3c4"]],
};

let plotly = null;
let figures = null;

/** plotly.js, loaded once from the page itself. */
function loadedPlotly() {
  plotly ??= unpackedText("plotly").then((code) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly can't be loaded from the page"));
    document.head.append(script);
  }));
  return plotly;
}

/** A figure in the page's own fonts and colours. */
function painted(figure) {
  const [ink, soft, grid, accent, warm, surface] = ["ink", "soft", "grid", "accent", "warm", "surface"].map(color);
  const axis = (own) => ({
    gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, ...own,
    title: {...(own?.title ?? {}), standoff: 8, font: {size: 12, color: soft}},
  });
  const data = figure.data.map((trace, n) => {
    if (trace.type === "bar") return {marker: {color: accent}, ...trace};
    if (trace.type === "sunburst") return {...trace, marker: {line: {color: surface, width: 1}}};
    if (trace.type === "scatter" && trace.mode === "markers" && !trace.marker.color) return {...trace, marker: {color: accent, ...trace.marker}};
    if (trace.type === "scatter" && trace.mode === "markers") return {...trace, marker: {...trace.marker, colorscale: DENSITY[darkness.matches ? "dark" : "light"]}};
    if (trace.type === "scatter" && trace.mode === "lines") return {line: {color: [accent, warm, soft][n % 3], width: 2}, ...trace};
    return trace;
  });
  return {data, layout: {
    margin: {l: 8, r: 12, t: 12, b: 8}, showlegend: false, bargap: 0.04,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    colorway: ["#4c9aa3", "#d98d55", "#7c83c4", "#6aa56c", "#c06f8b", "#b39d4b", "#6b8fb5"],
    sunburstcolorway: ["#4c9aa3", "#d98d55", "#7c83c4", "#6aa56c", "#c06f8b", "#b39d4b", "#6b8fb5"],
    font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: ink},
    legend: {orientation: "h", y: 1.12},
    hoverlabel: {bgcolor: surface, bordercolor: accent, font: {color: ink}},
    ...figure.layout,
    xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis),
    shapes: (figure.layout.shapes ?? []).map((shape) => ({...shape, line: {color: warm, width: 1.5, dash: "dot"}})),
    annotations: (figure.layout.annotations ?? []).map((note) => ({...note, font: {size: 11, color: warm}})),
  }};
}

async function drawFigure(element) {
  const [library, all] = await Promise.all([loadedPlotly(), figures]);
  const {data, layout} = painted(all[element.dataset.figure]);
  await library.react(element, data, layout, {displayModeBar: false, responsive: true});
  element.dataset.drawn = "yes";
}

function watchFigures() {
  if (!$("data-figures")) return;
  figures = unpacked("figures");
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      watcher.unobserve(entry.target);
      drawFigure(entry.target);
    }
  }); // no sooner: reading plotly stops the page for a moment
  document.querySelectorAll("[data-figure]").forEach((element) => watcher.observe(element));
  darkness.addEventListener("change", () => document.querySelectorAll("[data-drawn]").forEach(drawFigure));
}
