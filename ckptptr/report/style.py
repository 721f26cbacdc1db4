"""How the page and the picture look: one style sheet, all of it below `.ckptptr`, no web fonts.

It is put into pages that are not ours (a Flyte deck), whose background is white whatever the reader
prefers. So it follows a dark mode only where it is told to (`.adapts`).
"""

STYLE = """
.ckptptr {
  --ground: #ffffff; --stripe: #f5f7fa; --ink: #17202b; --quiet: #576372; --line: #d3dae3;
  --blue: #2159c4; --green: #0f7b3d; --amber: #8f5a00; --red: #bd2130; --path: #7a889a;
  background: var(--ground); color: var(--ink); color-scheme: light;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  max-width: 1200px; margin: 0 auto; padding: 24px; box-sizing: border-box; text-align: left;
}
@media (prefers-color-scheme: dark) {
  .ckptptr.adapts {
    --ground: #10151c; --stripe: #171e27; --ink: #e5eaf1; --quiet: #9ba8b7; --line: #313c4a;
    --blue: #79aefc; --green: #56cf83; --amber: #e6b450; --red: #ff7f7f; --path: #7d8da1;
    color-scheme: dark;
  }
  body.ckptptr-page { background: #10151c; }
}
body.ckptptr-page { margin: 0; }
.ckptptr h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; font-weight: 650; }
.ckptptr h2 { font-size: 17px; margin: 32px 0 8px; font-weight: 650; }
.ckptptr p { margin: 4px 0; }
.ckptptr .quiet { color: var(--quiet); }
.ckptptr .warning { color: var(--amber); }
.ckptptr .bad { color: var(--red); }
.ckptptr .good { color: var(--green); font-weight: 600; }
.ckptptr code { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
.ckptptr td { white-space: nowrap; }
.ckptptr td.long { white-space: normal; min-width: 10em; }
.ckptptr .wide { overflow-x: auto; }
.ckptptr ul.attempts { margin: 0; padding: 0; list-style: none; }
.ckptptr ul.attempts li { padding: 6px 0; border-top: 1px solid var(--line); }
.ckptptr ul.attempts li:first-child { border-top: 0; }
.ckptptr table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
.ckptptr th { font-weight: 500; color: var(--quiet); text-align: left; white-space: nowrap; }
.ckptptr th, .ckptptr td { padding: 6px 12px 6px 0; border: 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.ckptptr th.number, .ckptptr td.number { text-align: right; }
.ckptptr tr:target td { background: color-mix(in srgb, var(--blue) 16%, transparent); }
.ckptptr .bar { display: block; height: 3px; margin-top: 3px; margin-left: auto; border-radius: 2px;
  background: var(--blue); opacity: .75; }
.ckptptr svg.picture { display: block; width: 100%; min-width: 760px; height: auto; margin: 20px 0 4px; }
.ckptptr svg text { font-family: inherit; font-size: 12px; fill: var(--ink); }
.ckptptr svg text.lane { font-size: 13.5px; font-weight: 600; }
.ckptptr svg text.quiet, .ckptptr svg text.span { fill: var(--quiet); }
.ckptptr svg text.span { font-size: 11px; }
.ckptptr svg text.label { font-size: 11.5px; paint-order: stroke; stroke: var(--ground); stroke-width: 3px;
  stroke-linejoin: round; }
.ckptptr svg text.strong { font-weight: 650; }
.ckptptr svg .stripe { fill: var(--stripe); }
.ckptptr svg .life { stroke: var(--line); stroke-width: 2; fill: none; }
.ckptptr svg .axis { stroke: var(--line); fill: none; }
.ckptptr svg .arrow .line { stroke: var(--path); stroke-width: 1.6; fill: none; }
.ckptptr svg .arrow .head { fill: var(--path); }
.ckptptr svg .arrow.copy .line { stroke-dasharray: 5 4; }
.ckptptr svg .arrow.next .line { stroke: var(--green); stroke-width: 2; }
.ckptptr svg .arrow.next .head, .ckptptr svg .dot.next .mark { fill: var(--green); stroke: none; }
.ckptptr svg .mark { stroke: var(--ground); stroke-width: .7; fill: var(--blue); }
.ckptptr svg .target .mark { fill: var(--green); }
.ckptptr svg .target .ring { fill: none; stroke: var(--green); stroke-width: 1.6; }
.ckptptr svg .target .label { fill: var(--green); }
.ckptptr svg .unnamed .mark { fill: var(--ground); stroke: var(--blue); stroke-width: 2; }
.ckptptr svg .doomed .mark { fill: var(--ground); stroke: var(--quiet); stroke-width: 1.4; }
.ckptptr svg .doomed .slash { stroke: var(--quiet); stroke-width: 1.4; }
.ckptptr svg .doomed .label, .ckptptr svg .gone .label, .ckptptr svg .unfinished .label {
  fill: var(--quiet); }
.ckptptr svg .damaged .mark { fill: var(--red); }
.ckptptr svg .damaged .cross { stroke: var(--ground); stroke-width: 2; }
.ckptptr svg .damaged .label { fill: var(--red); }
.ckptptr svg .gone .mark { fill: none; stroke: var(--quiet); stroke-width: 1.4; stroke-dasharray: 2 2.5; }
.ckptptr svg .unfinished .mark { fill: var(--ground); stroke: var(--amber); stroke-width: 1.6; }
.ckptptr svg .pin { stroke: var(--ink); stroke-width: 1.6; fill: none; }
.ckptptr svg a:hover .mark, .ckptptr svg a:focus .mark { stroke: var(--ink); stroke-width: 2; }
@media print { .ckptptr { max-width: none; padding: 0; } }
"""
