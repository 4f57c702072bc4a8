"""How pages of completed faces look, light or dark, and the script of the slider."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --dim: #5c6670; --back: #f5f6f7;
  --card: #ffffff; --line: #d9dde1; --loss: #7f97ad; --best: #c2410c;
  --target: #f2c80f; --result: #1594d2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --dim: #9aa4ae; --back: #16181b; --card: #202327;
    --line: #3a4047; --loss: #64809a; --best: #fb923c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 1400px; color: var(--ink);
  background: var(--back); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
p, ul { margin: .4rem 0; overflow-wrap: anywhere; }
.face, .about { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; }
figcaption { color: var(--dim); font-size: .85rem; margin-top: .25rem;
  max-width: 380px; }
.compare figcaption { max-width: 256px; }
.small figcaption { max-width: 128px; }
img { display: block; image-rendering: pixelated; }
.row + .row, p + .row { margin-top: 1rem; }
.small img { width: 128px; height: auto; }
.stack { position: relative; width: 256px; max-width: 100%; }
.stack img { width: 100%; height: auto; }
.stack > .over { position: absolute; inset: 0; width: 100%; height: 100%; }
.compare .before { clip-path: inset(0 calc(100% - var(--cut, 50%)) 0 0); }
input[type=range] { display: block; width: 256px; margin: .4rem 0 0; }
[hidden] { display: none !important; }
.points { fill: none; stroke-linecap: round; }
.points .edge { stroke: #000; stroke-opacity: .55; }
.target { stroke: var(--target); } .result { stroke: var(--result); }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin: 0 .3em 0 .6em; vertical-align: baseline; }
.key.target { background: var(--target); } .key.result { background: var(--result); }
.key.loss { background: var(--loss); } .key.best { background: var(--best); }
.curves { display: block; width: 380px; max-width: 100%; height: auto; }
.curves text { fill: var(--dim); font-size: 11px; }
.curves .axes path { stroke: var(--line); }
.curves .loss { stroke: var(--loss); fill: none; stroke-opacity: .6; }
.curves .best { stroke: var(--best); fill: none; stroke-width: 2; }
.curves .loss circle { fill: var(--loss); stroke: none; fill-opacity: .6; }
.curves .best circle { fill: var(--best); stroke: none; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .15rem .75rem .15rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--dim); } td { font-variant-numeric: tabular-nums; }
summary { cursor: pointer; margin-top: .6rem; }
a { color: inherit; }
"""
"""Style of a page; landmarks, losses and their keys share the names of their colours.
"""

SCRIPT = """
for (const slider of document.querySelectorAll("input[type=range]")) {
  const cut = () =>
    slider.previousElementSibling.style.setProperty("--cut", slider.value + "%");
  slider.addEventListener("input", cut);
  slider.hidden = false;
  cut();
}
"""
"""Shows the sliders, which are hidden without it, and moves what they cut."""
