// The style sheet of report.html.
#pragma once

#include <string_view>

namespace berth::train {

inline constexpr std::string_view kHtmlStyle = R"css(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --text: #1b2430; --soft: #56606e; --line: #dfe3e8; --good: #127a4b; --bad: #b4341f;
  --c0: #2563eb; --c1: #d4610f; --c2: #15915a; --c3: #9333ea; --c4: #d02670; --c5: #0e7c86; --c6: #8a6d00; --c7: #64748b;
  --c8: #5b8c00; --c9: #7a4b2a; }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1b2129; --text: #e6eaf0; --soft: #a3aebc; --line: #303945; --good: #5fd39b; --bad: #ff8f78;
    --c0: #6ea8fe; --c1: #f6a35c; --c2: #4fd197; --c3: #c79bff; --c4: #ff85b5; --c5: #4fd0dc; --c6: #e3c653; --c7: #a3b1c4;
    --c8: #a8d84a; --c9: #d0a37f; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 17px; overflow-wrap: anywhere; }
h3 { margin: 18px 0 6px; font-size: 15px; overflow-wrap: anywhere; }
p { margin: 0 0 10px; overflow-wrap: anywhere; }
header p { margin: 2px 0 18px; color: var(--soft); }
.note { color: var(--soft); font-size: 13px; margin: 8px 0 12px; }
section, figure, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 16px 18px; margin-top: 16px; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--soft); }
summary + * { margin-top: 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px; margin-bottom: 12px; }
.tile { padding: 10px 14px; display: flex; flex-direction: column; }
.tile b { font-size: 21px; line-height: 1.3; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tile span, .tile small { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.tile.first { border: 2px solid var(--c0); } .tile.first b { font-size: 28px; line-height: 1.2; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px; margin-top: 16px; }
figure { margin: 0; padding: 14px 16px 12px; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.plot { position: relative; height: 220px; margin: 28px 10px 22px 46px; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot i { position: absolute; font-style: normal; font-size: 12px; line-height: 1; color: var(--soft); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.plot .y { right: 100%; transform: translate(-7px, -50%); }
.plot .x { top: 100%; transform: translate(-50%, 7px); }
.axis { text-align: right; color: var(--soft); font-size: 12px; line-height: 1; margin-right: 10px; }
.mark { position: absolute; top: -8px; bottom: 0; border-left: 1px dashed var(--soft); font-weight: 400; }
.mark span { position: absolute; bottom: 100%; left: -1px; transform: translateX(-50%); font-size: 12px; line-height: 1.1; color: var(--soft); white-space: nowrap; }
.mark.left span { left: auto; right: -1px; transform: none; }
.mark.good { border-left: 2px solid var(--good); } .mark.good span { color: var(--good); font-weight: 600; background: var(--card); z-index: 1; }
.plot path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.plot .grid { stroke: var(--line); stroke-width: 1; }
.plot .dot { stroke-width: 7; }
.series0 { stroke: var(--c0); } .series1 { stroke: var(--c1); } .series2 { stroke: var(--c2); } .series3 { stroke: var(--c3); }
.series4 { stroke: var(--c4); } .series5 { stroke: var(--c5); } .series6 { stroke: var(--c6); } .series7 { stroke: var(--c7); }
.series8 { stroke: var(--c8); } .series9 { stroke: var(--c9); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 10px 0 0; padding: 0; font-size: 13px; color: var(--soft); }
.legend li { overflow-wrap: anywhere; }
.legend small { font-size: 13px; }
.legend b { color: var(--text); font-variant-numeric: tabular-nums; }
.legend li::before { content: ""; display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; background: var(--k); }
.key0 { --k: var(--c0); } .key1 { --k: var(--c1); } .key2 { --k: var(--c2); } .key3 { --k: var(--c3); }
.key4 { --k: var(--c4); } .key5 { --k: var(--c5); } .key6 { --k: var(--c6); } .key7 { --k: var(--c7); }
.key8 { --k: var(--c8); } .key9 { --k: var(--c9); }
.fill0 { background: var(--c0); } .fill1 { background: var(--c1); } .fill2 { background: var(--c2); } .fill3 { background: var(--c3); }
.fill4 { background: var(--c4); } .fill5 { background: var(--c5); } .fill6 { background: var(--c6); } .fill7 { background: var(--c7); }
.fill8 { background: var(--c8); } .fill9 { background: var(--c9); }
.split { display: flex; height: 22px; border-radius: 6px; overflow: hidden; }
.split i { min-width: 1px; }
.columns { display: flex; gap: 4px; height: 270px; margin-top: 12px; }
.columns > div { flex: 1; min-width: 0; display: flex; flex-direction: column; text-align: center; }
.columns span { flex: 1; display: flex; flex-direction: column-reverse; }
.columns small { font-size: 12px; color: var(--soft); font-variant-numeric: tabular-nums; height: 20px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; vertical-align: bottom; }
td { overflow-wrap: anywhere; }
.wide td > div { width: max-content; max-width: 22em; }
.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; }
.keys { table-layout: fixed; }
.keys td:first-child { color: var(--soft); width: 40%; } .keys .number { text-align: left; white-space: normal; }
.matrix { width: auto; } .matrix th { font-weight: 400; color: var(--soft); padding-right: 12px; min-width: 5em; max-width: 12em; overflow-wrap: anywhere; }
.matrix thead th { vertical-align: bottom; }
.matrix td { text-align: center; padding: 8px 12px; min-width: 4em; border: 1px solid var(--card); font-variant-numeric: tabular-nums;
  background: color-mix(in srgb, var(--hue) var(--share), transparent); }
.right { --hue: var(--c2); } .wrong { --hue: var(--c1); }
.heat { width: 100%; max-width: 560px; border: 1px solid var(--line); display: block; }
.heat .ground { fill: var(--page); } .heat .right { fill: var(--c2); } .heat .wrong { fill: var(--c1); }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 20px; }
.halves > div { min-width: 0; } .halves h3 { margin-top: 0; }
.mistakes { margin: 0; padding-left: 26px; } .mistakes li { margin-bottom: 12px; } .mistakes p { margin: 0; }
.mistakes small { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
@media (max-width: 600px) {
  main { padding: 18px 12px 40px; } section { padding: 14px 12px; } figure { padding: 12px; }
  .tiles { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 8px; }
  .columns { gap: 2px; } .columns small { font-size: 11px; } }
@media print {
  body { background: none; font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; } .wide { overflow: visible; }
  figure, .tile, tr, .mistakes li { break-inside: avoid; } h2, h3 { break-after: avoid; } .charts { grid-template-columns: 1fr 1fr; } }
)css";

}  // namespace berth::train
