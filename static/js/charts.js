// Draws each [data-chart] from the JSON script that it names. The colours are the page's own, in both themes.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 3 });

function options(spec, width) {
  const text = css("--ts-muted");
  const sideways = spec.kind === "bars-across";
  const colours = [css("--ts-accent"), css("--ts-chart-2"), css("--ts-chart-3"), css("--ts-muted")];
  const category = {
    type: "category",
    data: spec.labels,
    axisLine: { lineStyle: { color: css("--ts-line") } },
    axisTick: { show: false },
    // Of days some may stay unnamed, as those beside them say which; a bar across that nobody can name says nothing.
    axisLabel: {
      color: text,
      fontFamily: "Inter, sans-serif",
      hideOverlap: !sideways,
      interval: sideways ? 0 : "auto",
      // Names that differ at their end are told apart where there is room for them.
      width: Math.max(96, Math.min(240, width * 0.32)),
      overflow: "truncate",
    },
    boundaryGap: spec.kind !== "line",
  };
  const value = {
    type: "value",
    splitNumber: 3,
    axisLabel: { color: text, fontFamily: "Inter, sans-serif", formatter: (amount) => number.format(amount) },
    splitLine: { lineStyle: { color: css("--ts-line") } },
    minInterval: spec.integers ? 1 : 0,
  };
  return {
    animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    animationDuration: 250,
    color: colours,
    grid: { left: 4, right: 16, top: 12, bottom: 4, containLabel: true },
    // Canvas tooltips: HTML ones carry style attributes, which the content security policy refuses.
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      axisPointer: { type: sideways || spec.kind === "bars" ? "shadow" : "line" },
      backgroundColor: css("--ts-surface"),
      borderColor: css("--ts-line"),
      textStyle: { color: css("--ts-text"), fontSize: 12, fontFamily: "Inter, sans-serif" },
      valueFormatter: (amount) => `${number.format(amount)} ${spec.unit}`,
    },
    xAxis: sideways ? value : category,
    yAxis: sideways ? { ...category, inverse: true } : value,
    series: spec.series.map((series, index) => ({
      name: series.name,
      data: series.values,
      type: spec.kind === "line" ? "line" : "bar",
      stack: spec.stacked ? "all" : undefined,
      barMaxWidth: 22,
      itemStyle: { borderRadius: sideways ? [0, 3, 3, 0] : spec.stacked ? 0 : [3, 3, 0, 0] },
      showSymbol: false,
      lineStyle: { width: 2 },
      areaStyle: spec.kind === "line" && index === 0 ? { opacity: 0.1 } : undefined,
      step: spec.kind === "line" && spec.steps ? "end" : false,
    })),
  };
}

for (const element of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(element.dataset.chart).textContent);
  const chart = echarts.init(element);
  const draw = () => chart.setOption(options(spec, element.clientWidth), true);
  draw();
  new ResizeObserver(() => chart.resize()).observe(element);
  document.addEventListener("themechange", draw);
}
