"""How things look: one table of colours and sizes for all pictures.

Every kind of box has a colour of its own: its line, and its paper. The way forward is grey, the way
back crimson; what is not a number is magenta. Colours come in two: on white, and on black.
"""

from __future__ import annotations

__all__ = ["COLOURS", "DARK", "KINDS", "LIGHT", "MONO", "SANS", "sheet", "variables"]

COLOURS = {  # name: (on white, on black)
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "dim": ("#59636e", "#9198a1"),
    "hair": ("#d0d7de", "#30363d"),  # thin lines
    "halo": ("#f1f2f4", "#161b22"),  # around what is written on frames, over the lines there
    "frame": ("#6e778112", "#9198a116"),  # see-through, so that inner frames are darker
    "forward": ("#8b949e", "#7d8590"),
    "backward": ("#c2255c", "#f0609a"),
    "alarm": ("#c800a1", "#ff5fe2"),
    "input": ("#1f6feb", "#58a6ff"),
    "input-card": ("#eaf2ff", "#0f2240"),
    "parameter": ("#13805a", "#3fb987"),
    "parameter-card": ("#e8f6f0", "#0d2a20"),
    "constant": ("#8b949e", "#7d8590"),
    "constant-card": ("#f6f8fa", "#161b22"),
    "op": ("#59636e", "#8b949e"),
    "op-card": ("#ffffff", "#161b22"),
    "result": ("#c2255c", "#f0609a"),
    "result-card": ("#fdedf3", "#34131f"),
    "layer": ("#6f42c1", "#a78bfa"),
    "layer-card": ("#f5f1ff", "#1e1836"),
    "alias": ("#13805a", "#3fb987"),
    "alias-card": ("#ffffff", "#0d1117"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
DARK = {name: dark for name, (_, dark) in COLOURS.items()}
KINDS = ("input", "parameter", "constant", "op", "result", "layer", "alias")

# Thumbnails: one picture for both, as colours over whatever paper there is.
POSITIVE, NEGATIVE, NOT_FINITE = (217, 108, 0), (31, 102, 193), (214, 0, 172)

MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SANS = "Helvetica,Arial,sans-serif"

# Sizes of our own SVG, in pixels.
LETTER = 0.6  # the width of a letter of MONO is so much of its height
HEADER, SMALL, NUMBER = 11, 9, 13  # heights of letters
LINE = 12  # from one small line to the next
TOP = 22  # the header of a card
SIDE = 8  # between the border of a card and what is in it
STRIPE = 4  # at the left of a card, in the colour of its kind
SLOT_WIDTH = 62  # for a thumbnail or a number
PICTURE_HEIGHT, NUMBER_HEIGHT = 40, 22
PIXEL = 12  # a pixel of a thumbnail is not larger
THINNEST = 5  # a side of a thumbnail is not shorter
ROUND = {"parameter": 2, "layer": 12, "alias": 5}  # the radius of corners; 8 for all others

RICH = 150  # so many boxes have thumbnails; if there are more, none has
LABELLED = 250  # so many lines have labels
NAME, TITLE = 28, 26  # so many letters of a name and of an op are shown

SHEET = """
text { font-family: var(--mono); font-size: 11px; fill: var(--ink); }
.paper { fill: var(--paper); }
.frame rect { fill: var(--frame); stroke: var(--hair); }
.heading text { fill: var(--dim); stroke: var(--halo); stroke-width: 4px; paint-order: stroke; }
.heading .title, .name ~ .title, .box .note { fill: var(--dim); }
.card { fill: var(--paint); stroke: var(--line); stroke-width: 1.2; }
.stripe { fill: var(--line); }
.name { font-weight: bold; }
.shape, .norm, .note { font-size: 9px; fill: var(--dim); }
.number { font-size: 13px; font-weight: bold; }
.gradient .number, .gradient .norm { fill: var(--backward); }
.slot { fill: none; stroke: var(--hair); }
.missing .slot { stroke-dasharray: 2 3; }
.box .missing text { fill: var(--dim); font-style: italic; font-weight: normal; }
.box .alarm text { fill: var(--alarm); font-weight: bold; }
.box.alarm .card { stroke: var(--alarm); stroke-width: 2; }
.parameter .card, .result .card { stroke-width: 2; }
.alias .card { stroke-dasharray: 4 3; }
.lane { fill: none; }
.lane.forward { stroke: var(--forward); stroke-width: 1.2; }
.lane.backward { stroke: var(--backward); }
.head.forward { fill: var(--forward); }
.head.backward { fill: var(--backward); }
.vanished .lane.backward { stroke-dasharray: 2 3; }
.link.alarm .lane.backward { stroke: var(--alarm); stroke-width: 3; }
.link.alarm .head.backward { fill: var(--alarm); }
.pill { fill: var(--paper); stroke: var(--hair); stroke-width: 0.6; }
.flow.norm { fill: var(--backward); }
.link.alarm .flow.norm { fill: var(--alarm); font-weight: bold; }
image { image-rendering: pixelated; }
"""


def sheet() -> str:
    """The style sheet of a picture that stands alone, light or dark as the reader's screen is."""
    kinds = "".join(
        f".{kind} {{ --line: var(--{kind}); --paint: var(--{kind}-card); }}\n" for kind in KINDS
    )
    dark = f"@media screen and (prefers-color-scheme: dark) {{ svg {{ {variables(DARK)} }} }}"
    return f"svg {{ --mono: {MONO}; {variables(LIGHT)} }}\n{dark}\n{kinds}{SHEET.lstrip()}"


def variables(colours: dict[str, str]) -> str:
    """The colours as variables of CSS.

    >>> variables({"ink": "#000"})
    '--ink: #000;'
    """
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
