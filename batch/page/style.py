"""Style: the page's look in light, dark and on paper. Blue and orange-red are told apart by every kind of eye."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6470; --edge: #dde1e6;
  --grid: #e4e7eb; --mark: #0072b2; --area: #0072b224; --wrong: #c2410c; --idle: #8a94a01f; --warn: #fff4e0; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2126; --ink: #e8eaed; --soft: #a3adb8;
  --edge: #333a42; --grid: #30363d; --mark: #56b4e9; --area: #56b4e926; --wrong: #f08a5d; --idle: #a3adb824;
  --warn: #3a2e17; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 20px 14px 48px; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.02rem; line-height: 1.35; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 0 0 8px; overflow-wrap: anywhere; }
.note, .lead { color: var(--soft); } .note { font-size: 0.85rem; }
.banner { background: var(--warn); border-left: 4px solid var(--wrong); padding: 10px 14px; margin: 12px 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0; }
.tile { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 8px 16px;
  flex: 1 0 auto; }
dl { margin: 0; } dt { color: var(--soft); font-size: 0.8rem; } dd { margin: 0; font-size: 1.3rem; font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 370px), 1fr)); gap: 14px;
  grid-auto-flow: dense; }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 14px 16px; min-width: 0;
  break-inside: avoid; }
.wide-card { grid-column: 1 / -1; }
@media (min-width: 800px) { .double-card { grid-column: span 2; } }
svg { display: block; width: 100%; max-width: 560px; height: auto; margin: 8px 0; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .unit { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--grid); } .mark { fill: var(--mark); } .mark.wrong { fill: var(--wrong); }
.line { fill: none; stroke: var(--mark); stroke-width: 2; stroke-linejoin: round; } .area { fill: var(--area); }
.goal { stroke: var(--soft); stroke-dasharray: 4 3; } .idle { fill: var(--idle); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.86rem; margin: 6px 0; }
th, td { text-align: left; padding: 3px 12px 3px 0; vertical-align: top; border-bottom: 1px solid var(--edge); }
th { font-weight: 600; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
td, code, pre, .data { unicode-bidi: isolate; } code, .data { overflow-wrap: anywhere; }
.kind { white-space: nowrap; } .facts th { white-space: nowrap; color: var(--soft); font-weight: 400; }
ul { margin: 0; padding-left: 18px; } small { color: var(--soft); }
.matrix { border-spacing: 2px; border-collapse: separate; } .matrix th { font-weight: 400; font-size: 0.8rem; }
.matrix td, .matrix th { padding: 4px 7px; border: 0; } .matrix td { text-align: center; border-radius: 3px; }
.matrix tbody th { white-space: nowrap; } .none { color: var(--soft); }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--soft); font-size: 0.85rem; }
pre { overflow-x: auto; font-size: 0.8rem; }
footer { margin-top: 18px; }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --edge: #bbb; --grid: #ddd;
  --mark: #0072b2; --area: #0072b224; --wrong: #c2410c; --idle: #8a94a01f; --warn: #fff; }
  body { font-size: 11px; } .cards { grid-template-columns: 1fr 1fr; } summary { color: var(--soft); }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""" + "\n".join(
    f".right-{shade} {{ background: color-mix(in srgb, var(--mark) {6 * shade}%, transparent); }} "
    f".wrong-{shade} {{ background: color-mix(in srgb, var(--wrong) {6 * shade}%, transparent); }}"
    for shade in range(10)
)
