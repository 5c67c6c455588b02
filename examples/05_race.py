"""The race: twelve optimizers, one start, six landscapes; and then the same with a network.

    python examples/05_race.py
    python examples/05_race.py --out race     also draws it, into that folder (needs matplotlib)

race.png shows all paths, race.gif the race itself, race.html the same with a slider, for lessons,
and digits.png the network.

Who is best depends on the landscape and on the rate, so everyone has six tries, and the best of
them counts. LAMB, Adafactor and Muon stay at home: they look at a parameter as a whole, at its
length or its rows, and a point in the plane is too little for that.
"""

import argparse
import base64
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from string import Template
from textwrap import fill
from typing import NamedTuple

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import optimizers
from tinygrad_edu.layers import MLP
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.training import get_batches

parser = argparse.ArgumentParser(description="Optimizers race on landscapes, and on digits.")
parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to draw the pictures")
out = parser.parse_args().out


# ---------------------------------------------------------------- who runs

SEVEN = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "Adamax", "Nadam")  # those of Keras
OTHERS = ("AdamW", "RAdam", "Lion", "Rprop")
RACERS = {"SGD": optimizers.SGD, "momentum": partial(optimizers.SGD, momentum=0.9)}
RACERS |= {name: getattr(optimizers, name) for name in SEVEN[1:] + OTHERS}


def tries(name):
    """Six rates; but Adadelta brings its own: there, epsilon says how long the first steps are."""
    if name == "Adadelta":
        return [{"epsilon": x} for x in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)]
    return [{"lr": x} for x in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)]


# ---------------------------------------------------------------- where


class Surface(NamedTuple):
    """A landscape; its lowest points have height 0."""

    formula: str
    height: Callable  # of x and y
    start: tuple[float, float]
    lowest: list[tuple[float, float]]
    window: tuple[float, float, float, float]  # left, right, bottom and top of the picture
    noise: float = 0.0  # the standard deviation of what is added to the slopes


def beale(x, y):
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


# fmt: off
SURFACES = {
    "bowl": Surface(
        "$x^2 + y^2$", lambda x, y: x**2 + y**2,
        (-1.6, 1.2), [(0, 0)], (-2.0, 1.4, -1.05, 1.5)),
    "narrow bowl": Surface(
        "$x^2 + 50\\,y^2$", lambda x, y: x**2 + 50 * y**2,
        (-1.7, 0.34), [(0, 0)], (-2.0, 1.2, -0.7, 0.5)),
    "Rosenbrock": Surface(
        "$(1 - x)^2 + 100\\,(y - x^2)^2$", lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        (-1.2, 1.0), [(1, 1)], (-1.6, 1.6, -0.6, 1.8)),
    "saddle": Surface(  # the start: a hair's breadth from the ridge, which leads to the saddle
        "$8\\,x^2 + (y^2 - 2)^2 / 4$", lambda x, y: 8 * x**2 + (y**2 - 2) ** 2 / 4,
        (-1.2, 1e-6), [(0, 2**0.5), (0, -(2**0.5))], (-1.5, 1.0, -0.4, 2.0)),
    "Beale": Surface(
        "$(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2$", beale,
        (1.0, 1.2), [(3, 0.5)], (0.2, 4.0, -1.2, 1.6)),
    "noisy ripples": Surface(
        "$(x^2 + y^2 + 2 - \\cos 3x - \\cos 3y)\\, / \\,2 + $noise",
        lambda x, y: (x**2 + y**2 + 2 - tg.cos(3 * x) - tg.cos(3 * y)) / 2,
        (-2.8, 2.4), [(0, 0)], (-3.2, 1.6, -0.9, 2.7), noise=1.0),
}
# fmt: on
STEPS = 300
LAST = 20  # an end is judged by this many steps: some swing to and fro for ever
SEEDS = 15  # where there is noise


# ---------------------------------------------------------------- the race


def run(name, surface):
    """All places visited, by step, try and seed: an array (STEPS + 1, tries, seeds, 2)."""
    rng = np.random.default_rng(0)  # the same noise for everyone
    seeds = SEEDS if surface.noise else 1
    # All tries run side by side, each a group with its setting: the same as one after the other,
    # as these formulas treat every number for itself, but faster.
    groups = [
        {"params": tg.Tensor(np.tile(surface.start, (seeds, 1)), requires_grad=True), **setting}
        for setting in tries(name)
    ]
    # With too large a rate a try may end at infinity: that is its result, and no error.
    optimizer = RACERS[name](groups, nonfinite="ignore")
    places = []
    with np.errstate(all="ignore"):
        for _ in range(STEPS + 1):
            now = tg.stack([group["params"] for group in groups])
            places.append(now.data)
            noise = surface.noise * rng.standard_normal((seeds, 2))
            loss = surface.height(now[..., 0], now[..., 1]).sum() + (noise * now).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return np.array(places)


def height_at(surface, places):
    """How high these places are, without noise; nan and infinity count as very high."""
    with tg.no_grad(), np.errstate(all="ignore"):
        height = surface.height(tg.Tensor(places[..., 0]), tg.Tensor(places[..., 1]))
    return np.fmin(height.data, 1e9)


class Result(NamedTuple):
    """The best of the tries; with noise, `steps` is the median of the seeds and `end` the mean."""

    setting: dict[str, float]
    steps: float  # until it was near the lowest point, to stay; infinity if it never was
    end: float  # the height in the end
    path: np.ndarray  # with noise, that of the first seed


def race(name, surface):
    places = run(name, surface)
    height = height_at(surface, places)
    end = height[-LAST:].mean(axis=(0, 2))
    near = height < height[0] * (0.03 if surface.noise else 0.001)
    stay = np.logical_and.accumulate(near[::-1]).sum(axis=0)  # how long, seen from the end
    steps = np.median(np.where(stay < LAST, np.inf, STEPS + 1 - stay), axis=1)
    best = np.lexsort([end, steps])[0]  # the first to arrive; if none does, the lowest in the end
    return Result(tries(name)[best], steps[best], end[best], places[:, best, 0])


results = {
    place: {name: race(name, surface) for name in RACERS} for place, surface in SURFACES.items()
}


def say(text):
    print("\n" + fill(" ".join(text.split()), 98))


say(f"""Six landscapes: the rate (Adadelta: epsilon) with which each did best, how many steps it
took to come near the lowest point and stay (-: over {STEPS - LAST}), its height in the end.""")
for three in (list(SURFACES)[:3], list(SURFACES)[3:]):
    print("\n        " + "".join(f"{place:>27}" for place in three))
    for name in RACERS:
        row = f"{name:<8}"
        for result in (results[place][name] for place in three):
            (setting,) = result.setting.values()
            count = "-" if np.isinf(result.steps) else f"{result.steps:.0f}"
            row += f"{setting:>13g}{count:>6}{result.end:>8.0e}"
        print(row)


# ---------------------------------------------------------------- what it shows


def steps(place, name):
    return results[place][name].steps


plain = steps("narrow bowl", "SGD")
quick = [name for name in RACERS if steps("narrow bowl", name) < plain / 2]
say(f"""A rate for every parameter helps where one direction is steeper than the other. In the
narrow bowl plain SGD takes {plain:.0f} steps, and these less than half of that: {", ".join(quick)}.
(Momentum has one rate for all, but what goes to and fro cancels out.) RMSprop and Lion are not
among them: their steps are as long at the bottom as elsewhere, so they need a small rate.""")
assert {"momentum", "Adagrad", "Adam", "Adamax", "Nadam", "Rprop"} <= set(quick)
assert not {"RMSprop", "Lion"} & set(quick)

say(f"""Momentum does not always help: in the round bowl, where the slope points straight at the
lowest point, SGD takes {steps("bowl", "SGD"):.0f} steps and momentum
{steps("bowl", "momentum"):.0f}, as it rolls past.""")
assert steps("bowl", "SGD") < steps("bowl", "momentum")

left = {name: (result.path[:, 1] > 0.5).argmax() for name, result in results["saddle"].items()}
left = dict(sorted(left.items(), key=lambda item: item[1]))
say(f"""The saddle holds SGD longest, whose steps are as tiny as the slope. Steps until it is left:
{", ".join(f"{name} {count}" for name, count in left.items())}.
From the very ridge, where the slope across it is 0, nobody leaves.""")
assert list(left)[-1] == "SGD" and min(left.values()) > 0
assert max(left[name] for name in ("Adagrad", "Adam", "Adamax", "Nadam")) < left["SGD"] / 4
ridge = SURFACES["saddle"]._replace(start=(-1.2, 0.0))
assert all((run(name, ridge)[..., 1] == 0).all() for name in RACERS)

epsilons = [results[place]["Adadelta"].setting["epsilon"] for place in SURFACES]
say(f"""Adadelta has no rate to choose, but its epsilon is as delicate: the best goes from
{min(epsilons):g} to {max(epsilons):g}, and the usual 1e-7 is too small everywhere.""")
assert max(epsilons) >= 100 * min(epsilons) and 1e-7 not in epsilons

first = {place: min(RACERS, key=lambda name: steps(place, name)) for place in SURFACES}
everywhere = [name for name in RACERS if all(steps(place, name) < np.inf for place in SURFACES)]
say(f"""Is Adam the best? First to arrive are {", ".join(f"{first[p]} ({p})" for p in first)}.
But only {" and ".join(everywhere)} arrive everywhere. And quick may be careless: in the noise
Rprop ends much higher than Adam on average, as in some of the {SEEDS} runs a ripple catches it.""")
assert "Adam" in everywhere and "Adam" not in first.values()
noisy = results["noisy ripples"]
assert noisy["Rprop"].end > 5 * noisy["Adam"].end

thrown = [place for place in SURFACES if steps(place, "RAdam") == np.inf]
say(f"""RAdam takes five steps before it adapts, and where it is steep they throw it far, unless the
rate is tiny: it does not arrive at {", ".join(thrown)}.""")
assert {"narrow bowl", "Rosenbrock", "Beale"} <= set(thrown)


# ---------------------------------------------------------------- the same with a network

EPOCHS = 10


def train(name, setting, seed):
    """The mean loss of every epoch, and the share of held-out digits that are read correctly."""
    rng = np.random.default_rng(seed)
    model = MLP(64, 32, 10, rng=rng)
    optimizer = RACERS[name](model, **setting)
    means = []
    for _ in range(EPOCHS):
        losses = []
        for x, y in get_batches((x_train, y_train), batch_size=32, shuffle=True, rng=rng):
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(np.mean(losses))
    with tg.no_grad():
        guesses = model(x_test).data.argmax(axis=1)
    return means, (guesses == y_test).mean()


say(f"""Digits, {EPOCHS} epochs: the rate (Adadelta: epsilon) that did best in a trial, and with it,
for 5 seeds, the mean loss in training, its range at the end, and the share of held-out digits that
are read correctly.""")
print(f"\n              rate   epoch 1   epoch {EPOCHS}             range    read")
(x_train, y_train), (x_test, y_test) = tg.data.digits()
curves, read = {}, {}
for name in RACERS:
    setting = min(tries(name), key=lambda setting: train(name, setting, seed=5)[0][-1])
    means, shares = zip(*(train(name, setting, seed) for seed in range(5)), strict=True)
    curves[name], read[name] = np.array(means), np.mean(shares)
    start, end = curves[name].T[[0, -1]]
    (rate,) = setting.values()
    row = f"{name:<8}{rate:>10g}{start.mean():>10.3f}{end.mean():>11.3f}"
    print(row + f"{f'{end.min():.3f} to {end.max():.3f}':>18}{read[name]:>8.1%}")

ends = {name: curve[:, -1] for name, curve in curves.items()}
ahead = ["momentum", "Adam", "Nadam", "AdamW", "Lion"]
shares = [read[name] for name in RACERS if name != "Rprop"]
say(f"""SGD gets there, more slowly; Rprop does not, as small batches turn the signs it goes by.
Ahead are {", ".join(ahead)}, but no one of them wins: their means are closer together
than two seeds of the same can be. And all that get there have learnt about the same,
{min(shares):.1%} to {max(shares):.1%} of the digits.""")
means = [ends[name].mean() for name in ahead]
assert ends["SGD"].mean() > 1.2 * max(means)
assert ends["Rprop"].mean() > 2 * ends["SGD"].mean()
assert max(means) - min(means) < max(np.ptp(ends[name]) for name in ahead)
assert min(shares) > 0.9


# ---------------------------------------------------------------- the pictures

# Okabe and Ito's colours, which all eyes tell apart, and four dark ones, which are dashed as well.
COLOURS = dict(zip(RACERS, (
    "#000000", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#d55e00", "#56b4e9", "#a89a00",
    "#882255", "#332288", "#8c510a", "#117733",
), strict=True))  # fmt: skip


def look(name):
    return {"color": COLOURS[name], "linestyle": (0, (4, 1.5)) if name in OTHERS else "-"}


def landscapes():
    """A figure of the six landscapes with nobody on them, and its panels by name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(SURFACES, figure.subplots(2, 3).flat, strict=True))
    mist = LinearSegmentedColormap.from_list("mist", ["white", "#c0ccd8"])
    for place, ax in panels.items():
        surface = SURFACES[place]
        left, right, bottom, top = surface.window
        x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
        height = height_at(surface, np.stack([x, y], axis=-1))
        levels = height.max() * np.geomspace(1e-3, 1, 19)  # as many lines low as high
        ax.contourf(x, y, np.maximum(height, levels[0]), levels, norm="log", cmap=mist)
        ax.contour(x, y, height, levels, colors="#93a1b0", linewidths=0.5)
        mark = {"linestyle": "", "markeredgecolor": "black", "zorder": 3}
        ax.plot(*surface.start, marker="s", color="white", markersize=7, **mark)
        ax.plot(*np.transpose(surface.lowest), marker="*", color="gold", markersize=14, **mark)
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.set_title(f"{place}\n{surface.formula}", fontsize=11)
        ax.tick_params(labelsize=8)
    return figure, panels


def draw_race(picture, film):
    """The film, of heads that draw fading tails; and its end with all paths, as a picture."""
    from PIL import Image

    figure, panels = landscapes()
    title = figure.suptitle("step", animated=True)
    runners = []
    for place, ax in panels.items():
        for name, result in results[place].items():
            (tail,) = ax.plot([], [], **look(name), linewidth=1.8, label=name, animated=True)
            (head,) = ax.plot([], [], "o", c=COLOURS[name], markeredgecolor="white", animated=True)
            runners.append((ax, result.path, tail, head))
    key = {"ncols": len(RACERS), "columnspacing": 1.3, "handlelength": 1.8, "frameon": False}
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", **key)
    figure.canvas.draw()
    still = figure.canvas.copy_from_bbox(figure.bbox)  # what does not move is drawn only once

    frames = []
    for now in np.unique((STEPS * np.linspace(0, 1, 110) ** 2).astype(int)):  # slowly at first
        figure.canvas.restore_region(still)
        title.set_text(f"step {now}")
        figure.draw_artist(title)
        for ax, path, tail, _ in runners:
            for length, alpha in (STEPS, 0.35), (30, 0.45), (10, 1):
                tail.set(data=path[max(now - length, 0) : now + 1].T, alpha=alpha)
                ax.draw_artist(tail)
        for ax, path, _, head in runners:
            head.set_data(path[now : now + 1].T)
            ax.draw_artist(head)
        frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"))

    # A GIF has 256 colours: a hundred for what stays, the others for the paths as they fade.
    shades = frames[0].quantize(100).getpalette()[:300]
    colours = [*COLOURS.values(), "#ffd700"]  # and the gold of the stars
    paint = np.array([list(bytes.fromhex(colour[1:])) for colour in colours])
    fade = np.linspace(0.25, 1, 12)[:, None, None]
    palette = Image.new("P", (1, 1))
    palette.putpalette(shades + (225 + fade * (paint - 225)).astype(int).ravel().tolist())
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [80] * (len(frames) - 1) + [4000]
    frames[0].save(film, save_all=True, append_images=frames[1:], duration=times, loop=0)

    title.set(text=f"{STEPS} steps from the square towards the star", animated=False)
    for _, path, tail, head in runners:
        tail.set(data=path.T, alpha=1, animated=False)
        head.set(animated=False)
    figure.savefig(picture, dpi=130)


PAGE = Template("""<!doctype html><meta charset="utf-8"><title>The race</title>
<style>
  body { max-width: 1170px; margin: 1em auto; font: bold 15px sans-serif; text-align: center }
  [type=range] { width: 70%; vertical-align: middle } label { margin: 0 0.4em; white-space: nowrap }
  polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round }
  .head { stroke-width: 9; stroke-linecap: round } [hidden] { display: none }
</style>
<p><button></button> <input type="range" max="$last" value="0"> step <output></output></p>
<form autocomplete="off">$names</form>
<svg viewBox="0 0 $width $height"><image href="data:image/png;base64,$picture" width="$width"/>
$lines</svg>
<script>
  const [button, slider, step] = document.querySelectorAll("button, [type=range], output");
  const lines = [...document.querySelectorAll("polyline")];
  const places = lines.map(line => line.getAttribute("points").split(" "));
  let playing = true;
  function show(now, on) {
    playing = on && now < $last;
    button.textContent = playing ? "pause" : "play";
    step.value = slider.value = now;
    lines.forEach((line, i) => {
      const from = line.classList.contains("head") ? now : 0;  // a head is a line of no length
      line.setAttribute("points", [...places[i].slice(from, now + 1), places[i][now]].join(" "));
    });
  }
  slider.oninput = () => show(+slider.value, false);
  button.onclick = () => show(slider.value % $last, !playing);
  setInterval(() => playing && show(Math.min(Math.ceil(slider.value * 1.01) + 1, $last), true), 80);
  for (const box of document.querySelectorAll("label input")) box.onchange = () =>
    document.querySelectorAll("." + box.value).forEach(line => line.toggleAttribute("hidden"));
</script>
""")


def write_page(file):
    """The film as a page of its own, with a slider, and runners that can be sent away."""
    figure, panels = landscapes()
    picture = BytesIO()
    figure.savefig(picture, dpi=130)
    width, height = figure.bbox.size
    lines = []
    for place, ax in panels.items():
        x, y, w, h = ax.bbox.x0, height - ax.bbox.y1, ax.bbox.width, ax.bbox.height
        area = f'x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}"'
        lines.append(f"<svg {area}>")  # one inside the other: it cuts off what is beyond its edges
        for kind in ("tail", "head"):
            for name, result in results[place].items():
                points = [0, height] + [1, -1] * ax.transData.transform(result.path)
                points = " ".join(f"{right:.1f},{down:.1f}" for right, down in points)
                dashes = "7 3" if kind == "tail" and name in OTHERS else "none"
                style = f'stroke="{COLOURS[name]}" stroke-dasharray="{dashes}"'
                lines.append(f'<polyline class="{kind} {name}" {style} points="{points}"/>')
        lines.append("</svg>")
    box = '<label style="color: {1}"><input type="checkbox" value="{0}" checked>{0}</label>'
    page = PAGE.substitute(
        last=STEPS, width=width, height=height, lines="\n".join(lines),
        names=" ".join(box.format(name, COLOURS[name]) for name in RACERS),
        picture=base64.b64encode(picture.getvalue()).decode(),
    )  # fmt: skip
    file.write_text(page, encoding="utf-8")


def draw_digits(file):
    """A panel for each: its mean over the seeds and its range, the means of the others in grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    epochs = np.arange(1, EPOCHS + 1)
    for ax, name in zip(figure.subplots(3, 4, sharex=True, sharey=True).flat, RACERS, strict=True):
        for curve in curves.values():
            ax.plot(epochs, curve.mean(axis=0), color="#c8ced6", linewidth=1)
        curve, colour = curves[name], COLOURS[name]
        band = curve.min(axis=0), curve.max(axis=0)
        ax.fill_between(epochs, *band, color=colour, alpha=0.25, linewidth=0)
        ax.plot(epochs, curve.mean(axis=0), color=colour, linewidth=2.5)
        ax.set(yscale="log", ylim=(0.018, 3.6), title=f"{name}: {curve[:, -1].mean():.3f}")
        ax.set_yticks([0.02, 0.1, 0.5, 2.5], ["0.02", "0.1", "0.5", "2.5"])
        ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("epoch")
    figure.supylabel("loss in training: mean and range of 5 seeds")
    figure.savefig(file, dpi=120)


if out:
    out.mkdir(parents=True, exist_ok=True)
    draw_race(out / "race.png", out / "race.gif")
    write_page(out / "race.html")
    draw_digits(out / "digits.png")
    print(f"\nrace.png, race.gif, race.html and digits.png are in {out}.")
