// The style sheet of report.html.
#pragma once

#include <string_view>

namespace berth::train {

inline constexpr std::string_view kHtmlStyle = R"css(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --text: #1b2430; --soft: #5b6675; --line: #dfe3e8;
  --c0: #2563eb; --c1: #dd6b20; --c2: #15915a; --c3: #9333ea; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1b2129; --text: #e6eaf0; --soft: #98a3b1; --line: #303945;
    --c0: #6ea8fe; --c1: #f6a35c; --c2: #4fd197; --c3: #c79bff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 17px; }
header p { margin: 2px 0 20px; color: var(--soft); }
section, figure, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 16px 18px; margin-top: 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile { padding: 12px 14px; }
.tile b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px 14px 8px; }
figcaption { font-weight: 600; margin-bottom: 6px; }
svg { display: block; width: 100%; height: auto; }
.legend { font-weight: 400; font-size: 13px; color: var(--soft); margin-left: 14px; }
.legend::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: middle;
  background: currentColor; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
path.series0 { stroke: var(--c0); } circle.series0 { fill: var(--c0); } .legend.series0::before { color: var(--c0); }
path.series1 { stroke: var(--c1); } circle.series1 { fill: var(--c1); } .legend.series1::before { color: var(--c1); }
path.series2 { stroke: var(--c2); } circle.series2 { fill: var(--c2); } .legend.series2::before { color: var(--c2); }
path.series3 { stroke: var(--c3); } circle.series3 { fill: var(--c3); } .legend.series3::before { color: var(--c3); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tr:last-child th, tr:last-child td { border-bottom: 0; }
th { font-weight: 600; white-space: nowrap; }
.keys th { font-weight: 400; color: var(--soft); width: 300px; }
.number { font-variant-numeric: tabular-nums; }
@media (max-width: 600px) { .keys th { width: auto; white-space: normal; } }
@media print { body { background: none; } section, figure, .tile { break-inside: avoid; } }
)css";

}  // namespace berth::train
