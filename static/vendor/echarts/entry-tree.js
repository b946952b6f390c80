export { init, use } from "echarts/core";
import { use } from "echarts/core";
import { SunburstChart, TreemapChart } from "echarts/charts";
import { TooltipComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
use([SunburstChart, TreemapChart, TooltipComponent, CanvasRenderer]);
