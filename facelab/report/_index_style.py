"""The style sheet of `index.html`: legible in light and dark, on a phone and on paper."""

CSS = """
:root { color-scheme: light dark; --bg: #fbfbfa; --fg: #1c1e21; --soft: #5d646d; --line: #dfe2e6; --card: #ffffff;
  --good: #04724d; --goodbg: #e2f4ec; --bad: #b3261e; --badbg: #fbe6e4; --warn: #8a5300; --warnbg: #fdf0d9;
  --still: #4a5560; --stillbg: #eceff2; --link: #0a58a8; --code: #f2f3f5; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171a; --fg: #e6e8ea; --soft: #9aa3ad; --line: #2e343b;
  --card: #1b1f24; --good: #58d3a2; --goodbg: #12352a; --bad: #ff9d94; --badbg: #43201d; --warn: #f5c06b;
  --warnbg: #3b2d12; --still: #b3bcc6; --stillbg: #262c33; --link: #82b8f5; --code: #22272d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem 1.25rem 4rem; background: var(--bg); color: var(--fg);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
h1 { font-size: 1rem; font-weight: 600; margin: 0 0 .8rem; color: var(--soft); letter-spacing: .01em; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .7rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
.verdict { border-radius: 12px; padding: 1.1rem 1.3rem; border: 1px solid var(--line); border-left-width: 8px; }
.verdict p { margin: 0; } .verdict .big { font-size: 1.5rem; line-height: 1.3; font-weight: 650; }
.verdict .small { margin-top: .45rem; color: var(--fg); opacity: .85; }
.verdict.good { background: var(--goodbg); border-color: var(--good); } .good .big { color: var(--good); }
.verdict.bad { background: var(--badbg); border-color: var(--bad); } .bad .big { color: var(--bad); }
.verdict.warn { background: var(--warnbg); border-color: var(--warn); } .warn .big { color: var(--warn); }
.verdict.still { background: var(--stillbg); border-color: var(--still); }
nav { margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .95rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; font-size: .92rem; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th { text-align: left; font-weight: 600; color: var(--soft); white-space: nowrap; }
th, td { padding: .5rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.w { min-width: 12rem; overflow-wrap: anywhere; }
td.why { min-width: 11rem; overflow-wrap: anywhere; }
td.soft, .soft { color: var(--soft); } td.one { white-space: nowrap; }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 999px; font-size: .85rem; font-weight: 600;
  white-space: nowrap; }
.badge.good { color: var(--good); background: var(--goodbg); }
.badge.bad { color: var(--bad); background: var(--badbg); }
.badge.warn { color: var(--warn); background: var(--warnbg); }
.badge.still { color: var(--still); background: var(--stillbg); }
.failure { border: 1px solid var(--bad); border-radius: 10px; padding: .9rem 1.1rem; margin: 0 0 1rem;
  background: var(--card); }
.failure h3 { margin: 0 0 .4rem; color: var(--bad); } .failure p { margin: .35rem 0; }
pre { background: var(--code); border-radius: 8px; padding: .6rem .8rem; overflow-x: auto; margin: .5rem 0;
  font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; background: var(--code);
  border-radius: 4px; padding: .08em .3em; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; background: var(--card); }
figure a { display: block; background: #fff; } figure img { display: block; width: 100%; height: auto; }
figcaption { padding: .55rem .8rem; font-size: .88rem; color: var(--soft); border-top: 1px solid var(--line); }
details { margin: .5rem 0; } summary { cursor: pointer; padding: .25rem 0; font-weight: 600; }
tr:target td { background: var(--warnbg); }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
"""
