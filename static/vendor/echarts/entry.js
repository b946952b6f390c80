export { init, use } from "echarts/core";
import { use } from "echarts/core";
import { LineChart, BarChart, SunburstChart, TreemapChart } from "echarts/charts";
import { GridComponent, TooltipComponent, AriaComponent, MarkLineComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
use([LineChart, BarChart, SunburstChart, TreemapChart]);
use([GridComponent, TooltipComponent, AriaComponent, MarkLineComponent, CanvasRenderer]);
