// The tree of accounts as rings or boxes. A segment is a link; its numbers stand in the table behind it too.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 3 });
const tokens = (mtok) => number.format(mtok / 1000);

// Each ring is a paler step of the accent towards the page's ground; neighbours differ by a half step.
function mix(from, to, share) {
  const parts = [from, to].map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return `rgb(${parts[0].map((part, index) => Math.round(part + (parts[1][index] - part) * share)).join(" ")})`;
}
const long = (colour) => (colour.length === 4 ? `#${[...colour.slice(1)].map((digit) => digit + digit).join("")}` : colour);

for (const element of document.querySelectorAll("[data-tree]")) {
  const spec = JSON.parse(document.getElementById(element.dataset.tree).textContent);
  const panel = element.closest("section");
  const sum = panel.querySelector("[data-picture-sum]");
  const chart = echarts.init(element);
  let measure = "has";
  let form = "rings";

  const segment = (node, level, index, shades) => {
    const children = (node.children ?? []).map((child, at) => segment(child, level + 1, at, shades));
    const own = node[measure] - children.reduce((all, child) => all + child.value, 0);
    // Boxes fill their parent, so what is left there is a box too; between rings it is simply bare.
    if (form === "boxes" && children.length && own > 0) {
      children.push({ name: spec.own, value: own, url: node.url, itemStyle: { color: shades.bare }, label: { color: shades.text } });
    }
    const step = Math.min(0.12 + level * 0.2 + (index % 2) * 0.09, 0.82);
    return {
      name: node.name,
      value: node[measure],
      url: node.url,
      numbers: node,
      children: children.length ? children : undefined,
      itemStyle: { color: mix(shades.accent, shades.ground, step) },
      label: { color: step < 0.5 ? shades.onAccent : shades.text },
    };
  };

  function draw() {
    const shades = {
      accent: long(css("--ts-accent")),
      ground: long(css("--ts-surface")),
      onAccent: css("--ts-on-accent"),
      text: css("--ts-text"),
      bare: css("--ts-raised"),
    };
    const data = (spec.root.children ?? []).map((child, at) => segment(child, 0, at, shades));
    const own = spec.root[measure] - data.reduce((all, child) => all + child.value, 0);
    if (own > 0) {
      data.push({ name: spec.own, value: own, itemStyle: { color: shades.bare }, label: { color: css("--ts-muted") } });
    }
    const any = spec.root[measure] > 0;
    const border = { borderColor: shades.ground, borderWidth: 2 };
    const font = { fontFamily: "Inter, sans-serif", fontSize: 12 };
    const rings = {
      type: "sunburst",
      radius: ["36%", "98%"],
      sort: "desc",
      nodeClick: false,
      emphasis: { focus: "ancestor" },
      itemStyle: { ...border, borderRadius: 3 },
      label: { ...font, minAngle: element.clientWidth < 400 ? 60 : 24, rotate: "tangential", overflow: "truncate", width: 104 },
    };
    const boxes = {
      type: "treemap",
      left: 0, right: 0, top: 0, bottom: 0,
      roam: false,
      nodeClick: false,
      breadcrumb: { show: false },
      itemStyle: { ...border, gapWidth: 2, borderRadius: 3 },
      upperLabel: { show: true, height: 22, ...font },
      levels: [{ upperLabel: { show: false }, itemStyle: { gapWidth: 3, borderWidth: 0 } }, {}, {}, {}],
      label: { ...font, overflow: "truncate" },
    };
    chart.setOption(
      {
        animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
        animationDuration: 250,
        tooltip: {
          renderMode: "richText",
          confine: true,
          backgroundColor: shades.ground,
          borderColor: css("--ts-line"),
          textStyle: { color: shades.text, ...font },
          formatter: ({ name, value, data: { numbers } }) =>
            numbers
              ? [name, ...Object.entries(spec.words).map(([what, word]) => `${word} ${tokens(numbers[what])} ${spec.unit}`)].join("\n")
              : `${name}\n${tokens(value)} ${spec.unit}`,
        },
        series: any ? [{ ...(form === "rings" ? rings : boxes), data }] : [],
      },
      true,
    );
    sum.hidden = form !== "rings" && any;
    sum.textContent = `${tokens(Math.floor(spec.root[measure] / 1000) * 1000)} ${spec.unit}`;
  }

  chart.on("click", ({ data }) => {
    if (data?.url) location.assign(data.url);
  });
  for (const button of panel.querySelectorAll("[data-measure], [data-form]")) {
    button.addEventListener("click", () => {
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      measure = button.dataset.measure ?? measure;
      form = button.dataset.form ?? form;
      draw();
    });
  }
  draw();
  new ResizeObserver(() => chart.resize()).observe(element);
  document.addEventListener("themechange", draw);
}
