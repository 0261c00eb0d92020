/** Draws entries as an SVG: CPU per record, one panel for each work set, a dot for the median and a line for the range. */
import * as vega from "vega";
import { compile } from "vega-lite";

const families = ["Sluice", "JavaScript", "addon in Node", "native"];

/** The SVG of rows `{ work, title, client, family, median, min, max }`. */
export async function drawPlot(rows, title) {
  const order = [...new Set(rows.map(({ work }) => work))];
  const specification = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: title, anchor: "start" },
    background: "white",
    data: { values: rows },
    facet: {
      field: "work",
      type: "nominal",
      sort: order,
      title: null,
      header: { labelFontSize: 12, labelFontWeight: "bold" },
    },
    columns: 3,
    resolve: { scale: { x: "independent", y: "independent" } },
    spec: {
      width: 230,
      height: { step: 15 },
      encoding: {
        y: { field: "client", type: "nominal", title: null, sort: { field: "median", op: "min" } },
        color: {
          field: "family",
          type: "nominal",
          title: null,
          scale: { domain: families, range: ["#d62728", "#1f77b4", "#9467bd", "#7f7f7f"] },
          legend: { orient: "top" },
        },
      },
      layer: [
        {
          mark: { type: "rule", strokeWidth: 2, opacity: 0.5 },
          encoding: {
            x: { field: "min", type: "quantitative", scale: { type: "log" }, title: "µs of CPU per record" },
            x2: { field: "max" },
          },
        },
        {
          mark: { type: "point", filled: true, size: 60, opacity: 1 },
          encoding: { x: { field: "median", type: "quantitative", scale: { type: "log" } } },
        },
      ],
    },
    config: { axis: { grid: true, gridOpacity: 0.4 }, font: "sans-serif" },
  };
  const { spec } = compile(specification, { logger: vega.logger(vega.Error) });
  const view = new vega.View(vega.parse(spec), { renderer: "none" });
  return await view.toSVG();
}
