"""The page that replays backward, in a browser: a headless Chromium does what a reader would.

It is driven by `browser/drive.mjs`, which needs Node.js, the package playwright-core and, for the
tests of accessibility, axe-core: `npm install playwright-core axe-core` in some folder, and
TINYGRAD_EDU_BROWSER_MODULES=that_folder/node_modules. CHROMIUM is the browser, if it is not found
on the path.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn, pages
from tinygrad_edu import Tensor, explore, layers

DRIVE = Path(__file__).parent / "browser" / "drive.mjs"
MODULES = os.environ.get("TINYGRAD_EDU_BROWSER_MODULES", "")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def has_package(name):
    """Can Node.js find a package, from the folder that was given or from here?"""
    script = f"require.resolve({json.dumps(name)}, {{paths: {json.dumps([MODULES or '.'])}}})"
    paths = {**os.environ, "NODE_PATH": MODULES}
    done = subprocess.run(["node", "-e", script], env=paths, capture_output=True, check=False)
    return done.returncode == 0


def missing():
    """What is needed and not there, as a reason to skip."""
    if not shutil.which("node"):
        return "no Node.js: the program `node`"
    if not CHROMIUM:
        return "no Chromium: the program `chromium`, or CHROMIUM=path"
    wanted = ["playwright-core", "axe-core"]
    absent = [name for name in wanted if not has_package(f"{name}/package.json")]
    how = "npm install, and TINYGRAD_EDU_BROWSER_MODULES=path/to/node_modules"
    return f"no {' and '.join(absent)}: {how}" if absent else ""


REASON = missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]


def attention():
    """A loss with branches that lie far from each other."""
    model = layers.Sequential(
        layers.LayerNorm(8), layers.MultiHeadAttention(8, 2, causal=True, rng=0)
    )
    x = Tensor(drawn(2, 5, 8), name="x")
    return ((x + model(x)) ** 2).mean()


def wrong():
    """A loss that is no number, since a logarithm in its middle is none."""
    x = Tensor(np.array([[1, 2], [4, -5]], "f4"), requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        return (tg.log(x * 2) * 3).sum()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    programs = {"small": pages.small, "hostile": pages.hostile, "deep": pages.deep}
    programs |= {"attention": attention, "wrong": wrong}
    for name, program in programs.items():
        explore(program, folder / f"{name}.html", engine="builtin")
    explore(lambda: pages.deep(80), folder / "vast.html", engine="builtin", max_nodes=100)
    return folder


@pytest.fixture
def visit(folder):
    """Open a page, do things, and return what was seen; no error and no request is allowed."""

    def visited(name, *actions, **options):
        plan = {"page": (folder / f"{name}.html").as_uri(), "actions": actions, **options}
        env = {**os.environ, "CHROMIUM": CHROMIUM}
        done = subprocess.run(
            ["node", str(DRIVE)],
            input=json.dumps([plan]),
            env=env,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (report,) = json.loads(done.stdout)
        assert report["errors"] == [] and report["requests"] == []
        return report["seen"]

    return visited


def see(expression):
    return {"see": expression}


def press(*keys):
    return [{"press": key} for key in keys]


STEP = see("state.step")
HELD = see("state.held")
BADGE = see("document.querySelector('.badge').textContent")
HEADING = see("document.querySelector('#panel h2').textContent")
HASH = see("location.hash")
FOCUS = see("document.activeElement.closest('.box')?.dataset.node ?? null")


def box(key, depth=3):
    return f"#v{depth}-{key}"


def is_(key, mark, depth=3):
    return see(f"document.querySelector('{box(key, depth)}').classList.contains('{mark}')")


# ---------------------------------------------------------------- stepping


def test_keys_step_forward_and_back(visit):
    seen = visit(
        "small", STEP, *press("ArrowRight", "ArrowRight"), STEP, *press("ArrowLeft"), STEP,
        *press("b"), BADGE, *press("End"), BADGE, *press("ArrowRight"), BADGE, *press("Home"), STEP,
    )  # fmt: skip
    assert seen == [0, 2, 1, "Backward begins", "Backward 8 of 8", "Overview", 0]


def test_buttons_step_too(visit):
    seen = visit(
        "small", {"click": "#next"}, {"click": "#next"}, BADGE, {"click": "#back"}, BADGE,
        {"click": "#backward"}, BADGE, {"click": "#last"}, BADGE, {"click": "#next"}, BADGE,
        see("find('back').disabled"),
    )  # fmt: skip
    assert seen == [
        "Forward 2 of 8", "Forward 1 of 8", "Backward begins", "Backward 8 of 8", "Overview", True,
    ]  # fmt: skip


def test_the_rail_is_clicked_dragged_and_said(visit):
    place = "(() => { const r = find('rail').getBoundingClientRect(); return [r.left, r.width] })()"
    seen = visit(
        "small", {"click": "#rail i:nth-child(11)"}, STEP,
        see("find('rail').getAttribute('aria-valuetext')"), see(place),
    )  # fmt: skip
    assert seen[:2] == [10, "Backward 1 of 8"]
    left, width = seen[2]
    (step,) = visit("small", {"drag": [[left + 5, 870], [left + width * 0.99, 870]]}, STEP)
    assert step == 17


def test_many_steps_have_a_plain_slider(visit):
    seen = visit(
        "vast", see("find('rail').querySelectorAll('i').length"), {"click": "#rail input"}, STEP,
        *press("ArrowRight"), STEP, see("find('counts').textContent"),
    )  # fmt: skip
    assert seen[0] == 0 and 0 < seen[1] < seen[2] == seen[1] + 1
    assert seen[3].endswith("left out, too many boxes: the 3 finest levels")


def test_what_comes_later_is_empty_and_gradients_appear_from_below(visit):
    seen = visit(
        "small", is_("n13", "later"), {"go": "#step=1"}, is_("n13", "later"), is_("n3", "now"),
        is_("n3", "without-gradient"), is_("n1", "near"), {"go": "#step=10"},
        is_("n13", "without-gradient"), is_("n3", "without-gradient"), is_("n13", "later"),
        see("getComputedStyle(document.querySelector('#v3-n3 .gradient image')).visibility"),
        {"go": "#step=17"}, is_("n3", "without-gradient"),
    )  # fmt: skip
    assert seen == [False, True, True, True, True, False, True, False, "hidden", False]


def test_each_contribution_is_added_as_it_arrives(visit):
    words = see("document.querySelector('#v3-n1 .gradient .norm').textContent")
    terms = see("['pale', 'current'].map((x) => document.querySelectorAll(`.term.${x}`).length)")
    seen = visit(
        "small", words, {"go": "#step=13&node=n1"}, terms, {"go": "#step=14&node=n1"}, terms,
        is_("n1", "partial"), words, {"go": "#step=17&node=n1"}, terms, is_("n1", "partial"), words,
    )  # fmt: skip
    whole, *rest = seen
    assert rest[0] == [4, 0]  # three terms, and the sum
    assert rest[1] == [1, 2] and rest[2] is True and rest[3] != whole
    assert rest[4] == [0, 1] and rest[5] is False and rest[6] == whole


def test_the_live_sentence_is_that_of_the_step(visit):
    (text,) = visit("small", {"go": "#step=1"}, see("find('sentence').textContent"))
    assert text.startswith("Forward 1 of 8") and "x @ fc1.weight + fc1.bias" in text


# ---------------------------------------------------------------- boxes and the panel


def test_a_click_holds_on_to_a_box_and_another_lets_go(visit):
    seen = visit(
        "small", {"click": box("n1")}, HELD, HEADING, *press("ArrowRight"), HEADING,
        {"click": box("n1")}, HELD, HEADING,
    )  # fmt: skip
    assert seen == ["n1", "fc1.weight", "fc1.weight", None, "fc1.linear"]


def test_an_alias_stands_for_its_tensor(visit):
    assert visit("small", {"click": box("n1_n8")}, HELD, is_("n1", "selected")) == ["n1", True]


def test_the_panel_has_the_rule_in_letters_in_names_and_in_source(visit):
    (text,) = visit("small", {"go": "#step=16&node=n7"}, see("find('panel').innerText"))
    for part in (
        "z = x @ weight + bias", "dx = g @ weight.T", "tanh.grad += g @ fc2.weight.T",
        "def linear(x, weight, bias=None):", "return self.fc2(tg.tanh(self.fc1(x)))",
        "pages.py, line", "it comes from softmax_cross_entropy",
    ):  # fmt: skip
        assert part in text, text


def test_the_panel_has_the_numbers(visit):
    cells = "[...document.querySelectorAll('#panel .backward table')].map((t) => t.innerText)"
    seen = visit("small", {"go": "#node=n1"}, see(cells), see("find('panel').innerText"))
    assert len(seen[0]) == 1 and len(seen[0][0].split()) == 6 + 2 * 7  # places, and numbers
    assert "✓ 12 of 12 compared" in seen[1]


def test_links_in_the_panel_lead_to_boxes_and_back(visit):
    seen = visit(
        "small", {"go": "#step=0&node=n7"}, {"click": "#panel .forward a"}, {"wait": 100}, HEADING,
        see("document.activeElement.id"), see("history.back()"), {"wait": 200}, HEADING,
    )  # fmt: skip
    assert seen[:2] == ["tanh", "panel"] and seen[-1] == "fc2.linear"


def test_the_box_of_a_layer_opens_and_step_and_choice_survive(visit):
    seen = visit(
        "small", {"go": "#step=16&view=1"}, {"click": box("c0", 1)}, HASH, HEADING,
        see("document.querySelector('.view:not([hidden])').dataset.view"),
        {"click": box("c2", 2)}, HASH,
        see("document.querySelectorAll('.view:not([hidden]) .frame.selected').length"),
    )  # fmt: skip
    assert seen[0] == "#step=16&node=c0&view=2" and seen[1] == "Net"
    assert seen[2] == "2" and seen[3].endswith("view=3") and seen[4] == 1


def test_levels_are_changed_by_key_and_button(visit):
    seen = visit(
        "small", *press("v"), HASH, {"click": "#levels button:nth-child(2)"}, HASH,
        see("[...document.querySelectorAll('#levels [aria-pressed=true]')].length"),
    )  # fmt: skip
    assert seen == ["#step=0&view=1", "#step=0&view=2", 1]


# ---------------------------------------------------------------- the keyboard in the graph


def test_arrows_walk_the_graph(visit):
    seen = visit(
        "small", see("document.querySelector('#v3-n13 .button').focus()"),
        *press("ArrowUp"), FOCUS, *press("ArrowUp"), FOCUS, *press("ArrowUp"), FOCUS,
        *press("ArrowDown"), FOCUS, *press("Shift+ArrowLeft"), FOCUS, *press("Shift+ArrowRight"),
        FOCUS, STEP, *press("Enter"), HELD, FOCUS, *press("Escape"), HELD,
    )  # fmt: skip
    focus = seen[1:]
    assert focus[:4] == ["n12", "n7", "n4", "n7"]
    assert focus[4] in ("n5", "n6") and focus[5] == "n7"
    assert focus[6:] == [0, "n7", "n7", None]


def test_one_box_is_a_tab_stop_and_focus_is_seen(visit):
    seen = visit(
        "small", see("document.querySelectorAll('.view:not([hidden]) [tabindex=\"0\"]').length"),
        see("document.querySelector('#levels button:last-child').focus()"),
        *press("Tab", "Tab", "Tab"), FOCUS,
        see("getComputedStyle(document.activeElement).strokeWidth"),
    )  # fmt: skip
    assert seen[0] == 1 and seen[-2] is not None and seen[-1] == "4px"


def test_a_box_is_said_once_by_its_button(visit):
    heard = ".view:not([hidden]) .box > :not([aria-hidden])"
    said = f"[...document.querySelectorAll('{heard}')].map((x) => x.classList[0])"
    label = "document.querySelector('#v3-n1 .button').getAttribute('aria-label')"
    seen = visit("small", see(f"[...new Set({said})]"), see(label))
    assert seen == [["button"], "fc1.weight, parameter, 2×6"]


def test_focus_stays_in_the_graph_at_another_level_of_detail(visit):
    start = see("document.querySelector('#v3-n13 .button').focus()")
    assert visit("small", start, *press("v"), FOCUS, see("state.view"))[1:] == ["n13", 0]


def test_help_opens_and_closes(visit):
    opened = see("find('help').open")
    seen = visit(
        "small", *press("?"), opened, *press("ArrowRight"), STEP, *press("Escape"), opened,
        {"click": "#ask"}, opened, {"click": "#help button"}, opened,
    )  # fmt: skip
    assert seen == [True, 0, False, True, False]


# ---------------------------------------------------------------- addresses


def test_an_address_opens_a_step_a_box_and_a_level(visit):
    assert visit("small", STEP, HELD, see("state.view"), hash="#step=12&node=n9&view=2") == [
        12, "n9", 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "#step=-1&node=n99&view=77",
        "#step=1e3",
        "#%%%",
        "#node=__proto__&view=toString",
        "#step=2.5",
    ],
)
def test_nonsense_in_an_address_is_passed_over(visit, address):
    assert visit("small", STEP, HELD, see("state.view"), hash=address) == [0, None, 2]


def test_a_step_beyond_the_last_is_the_last(visit):
    assert visit("small", STEP, hash="#step=999999") == [17]


def test_a_changed_address_is_followed_and_steps_write_it(visit):
    seen = visit("small", {"go": "#step=5"}, STEP, *press("ArrowRight"), HASH)
    assert seen == [5, "#step=6&view=3"]


# ---------------------------------------------------------------- how it looks


def test_zoom_by_button_key_and_wheel(visit):
    scale = see("Math.round(zoom.scale * 1000)")
    fit, larger, smaller, wheel, again = visit(
        "small", scale, *press("+"), scale, {"click": "#smaller"}, {"click": "#smaller"}, scale,
        {"wheel": -300}, {"wait": 50}, scale, *press("0"), scale,
    )  # fmt: skip
    assert smaller < fit < larger and wheel > smaller and again == fit


def test_the_graph_can_be_dragged_without_choosing_a_box(visit):
    seen = visit(
        "small", *press("+", "+", "+", "+"), see("graph.scrollTop = 100"),
        {"drag": [[400, 300], [400, 250]]}, see("graph.scrollTop"), HELD,
    )  # fmt: skip
    assert seen[1:] == [150, None]


@pytest.mark.parametrize("dark", [False, True])
def test_the_theme_is_that_of_the_screen_until_it_is_chosen(visit, dark):
    paper = see("getComputedStyle(document.body).backgroundColor")
    white, black = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
    seen = visit(
        "small", paper, *press("d"), paper, *press("d"), paper, *press("d"), paper, dark=dark
    )
    here, other = (black, white) if dark else (white, black)
    assert seen == [here, other, here, here], "the first press is seen"


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 568), (844, 390), (1440, 900)])
def test_nothing_sticks_out_of_the_window(visit, width, height):
    wide = see("document.documentElement.scrollWidth - innerWidth")
    high = see("document.documentElement.scrollHeight - innerHeight")
    areas = see("['graph', 'panel'].map((id) => find(id).clientHeight)")
    size = {"width": width, "height": height}
    for name in ("small", "hostile"):
        seen = visit(name, wide, high, {"go": "#step=12"}, wide, high, areas, **size)
        assert seen[:4] == [0, 0, 0, 0] and min(seen[4]) >= 60


def test_on_a_phone_graph_panel_and_steps_are_one_below_the_other(visit):
    tops = "['graph', 'panel', 'said'].map((id) => find(id).getBoundingClientRect().top)"
    (seen,) = visit("small", see(tops), width=390, height=844)
    assert seen == sorted(seen) and seen[2] > seen[1] + 100


def test_hot_links_move_unless_less_motion_is_wanted(visit):
    name = see("getComputedStyle(document.querySelector('.hot .lane.backward')).animationName")
    assert visit("small", name, hash="#step=16", calm=False) == ["flow"]
    assert visit("small", name, hash="#step=16", calm=True) == ["none"]


def test_on_paper_there_are_no_buttons(visit):
    shown = "getComputedStyle(document.querySelector('.controls')).display"
    assert visit("small", {"print": True}, see(shown)) == ["none"]


# ---------------------------------------------------------------- what is in the window

IN_WINDOW = """((boxes) => {
  const home = graph.getBoundingClientRect();
  return boxes.map((box) => box.getBoundingClientRect()).every((r) => r.left >= home.left - 1
    && r.top >= home.top - 1 && r.right <= home.left + graph.clientWidth + 1
    && r.bottom <= home.top + graph.clientHeight + 1);
})"""


def steps_out_of_sight(view):
    """Go through all steps; at which are the box and those that receive not in the window?"""
    return see(f"""(() => {{
      const out = [];
      for (let i = 1; i <= total; i++) {{
        go(i);
        const boxes = view().touchedAt(i).map(({{ box }}) => box);
        const far = ["left", "top"].map((side, k) => {{
          const rects = boxes.map((box) => box.getBoundingClientRect());
          const end = ["right", "bottom"][k];
          const last = Math.max(...rects.map((r) => r[end]));
          const long = last - Math.min(...rects.map((r) => r[side]));
          return long > (k ? graph.clientHeight : graph.clientWidth) - 20;
        }});
        const fit = !far.includes(true);
        if (!{IN_WINDOW}(fit ? boxes : boxes.slice(0, 1))) out.push(i);
      }}
      return [out, total, view().about.depth, graph.scrollHeight > graph.clientHeight];
    }})()""")


@pytest.mark.parametrize("name", ["deep", "attention"])
@pytest.mark.parametrize("back", [0, 1])
def test_what_receives_is_in_the_window_with_what_gives(visit, name, back):
    level = see(f"level(data.views.length - 1 - {back})")
    seen = visit(name, level, {"go": "#step=1"}, steps_out_of_sight(name))
    out, steps, _, scrolls = seen[-1]
    assert out == [] and steps > 15 and scrolls


def test_receivers_are_marked_and_an_alias_stands_for_its_parameter(visit):
    touched = see("view().touchedAt(state.step).map(({ key }) => key)")
    marked = see("[...document.querySelectorAll('.box.near')].map((x) => x.id)")
    keys, near = visit("small", {"go": "#step=14"}, touched, marked)
    assert keys == ["n8", "n1_n8"]
    assert {f"v3-{key}" for key in keys[1:]} <= set(near)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_the_overview_shows_everything(visit, width, height):
    everything = see(f"{IN_WINDOW}([...view().boxes.values()].map(({{ box }}) => box))")
    seen = visit("small", everything, see("zoom.scale"), width=width, height=height)
    assert seen[0] is True and seen[1] >= 0.35


def test_a_step_is_readable_and_steps_are_all_of_one_size(visit):
    scale = see("zoom.scale")
    overview, *steps, again = visit(
        "deep", scale, *press("ArrowRight"), scale, *press("ArrowRight"), scale, *press("b"), scale,
        *press("End"), scale, *press("Home"), scale,
    )  # fmt: skip
    assert overview == again < steps[0] and set(steps) == {steps[0]} and 0.8 <= steps[0] <= 1
    by_hand = visit("deep", *press("+"), scale, *press("ArrowRight"), scale, *press("v"), scale)
    assert by_hand[0] == by_hand[1] != by_hand[2]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180)])
def test_on_a_narrow_screen_letters_stay_readable(visit, width, height):
    box = see(f"{IN_WINDOW}(view().touchedAt(state.step).slice(0, 1).map(({{ box }}) => box))")
    seen = visit(
        "attention", see("zoom.scale"), {"go": "#step=9"}, see("zoom.scale"), box,
        see("graph.scrollWidth > graph.clientWidth"), width=width, height=height,
    )  # fmt: skip
    assert seen[0] >= 0.7 and seen[1] >= 0.7 and seen[2:] == [True, True]


# ---------------------------------------------------------------- what is no number


def test_it_alarms_when_it_is_computed(visit):
    alarms = see("[...document.querySelectorAll('.box.alarm')].map((x) => x.dataset.node)")
    stroke = see(
        "getComputedStyle(document.querySelector('.box.now .card')).stroke === "
        "getComputedStyle(document.querySelector('.key.wrong'), '::before').backgroundColor"
    )
    whole, first, stroke_1, second, stroke_2, seeded, last, cell = visit(
        "wrong", alarms, {"go": "#step=1"}, alarms, stroke, {"go": "#step=2"}, alarms, stroke,
        {"go": "#step=5"}, alarms, {"go": "#step=8"}, alarms,
        see("document.querySelector('#panel table').innerText"),
    )  # fmt: skip
    assert first == [] and stroke_1 is False
    assert len(second) == 1 and stroke_2 is True
    assert second[0] in seeded and len(seeded) == 3
    assert set(last) == set(whole) >= set(seeded)
    assert "NaN" not in cell


def test_a_number_that_is_none_is_nan_everywhere(visit):
    text = see("find('panel').innerText + view().svg.textContent + find('sentence').textContent")
    (said,) = visit("wrong", {"go": "#step=2"}, text)
    assert "nan" in said and "NaN" not in said


# ---------------------------------------------------------------- small things


def test_a_line_says_its_shape_and_then_its_gradient(visit):
    seen_of = (
        "['shape', 'norm'].map((x) => getComputedStyle(link.querySelector('.' + x)).visibility)"
    )
    line = "const link = document.querySelector('.view:not([hidden]) .link.needs:has(.shape)');"
    said = see(f"(() => {{ {line} return {seen_of}; }})()")
    before, after = visit("small", {"go": "#step=8"}, said, {"go": "#step=17"}, said)
    assert before == ["visible", "hidden"] and after == ["hidden", "visible"]
    pill = "[...document.querySelectorAll('.view:not([hidden]) .link:not(:has(.shape)) .pill')]"
    shown = see(f"{pill}.map((x) => getComputedStyle(x).visibility)")
    before, after = visit("small", {"go": "#step=8"}, shown, {"go": "#step=17"}, shown)
    assert set(before) == {"hidden"} and set(after) == {"visible"}


def test_boxes_and_steps_say_in_a_line_what_they_are(visit):
    tip = see("document.querySelector('#v3-n3 title')?.textContent ?? null")
    point = see(
        "document.querySelector('#v3-n3 .button')"
        ".dispatchEvent(new PointerEvent('pointerover', { bubbles: true }))"
    )
    step = see("find('rail').children[1].title")
    seen = visit("small", tip, point, tip, point, step)
    assert seen[0] is None and seen[4] == "Forward 1 of 8 · fc1.linear"
    assert seen[2] == "fc1.linear = x @ fc1.weight + fc1.bias  ·  5×6"


def test_the_panel_of_a_layer_has_numbers_and_gradients_as_they_come_back(visit):
    tables = see("[...document.querySelectorAll('#panel .numbers')].length")
    text = see("find('panel').innerText")
    forward, said, backward, then = visit(
        "small", {"go": "#step=8&node=c0"}, tables, text, {"go": "#step=17&node=c0"}, tables, text
    )
    assert (forward, backward) == (2, 3) and "its gradient" not in said
    assert "its gradient" in then


def test_terms_of_one_op_are_told_apart_by_their_slot(visit):
    terms = see("[...document.querySelectorAll('.term a')].map((a) => a.parentElement.textContent)")
    (said,) = visit("small", {"go": "#step=17&node=n1"}, terms)
    assert len(set(said)) == len(said) == 3 and sum(" · " in text for text in said) == 2


def test_names_can_be_broken_after_their_dots(visit):
    parts = see("document.querySelectorAll('#panel h2 wbr').length")
    assert visit("small", {"go": "#node=n1"}, HEADING, parts) == ["fc1.weight", 1]


@pytest.mark.parametrize("chosen", [False, True])
def test_paper_is_white_though_the_screen_is_black(visit, chosen):
    paper = see("getComputedStyle(document.body).getPropertyValue('--paper')")
    press_twice = press("d", "d") if chosen else []
    seen = visit("small", paper, *press_twice, paper, {"print": True}, paper, dark=True)
    assert seen == ["#0d1117", "#0d1117", "#ffffff"]


def test_on_paper_the_sentence_is_above_a_picture_of_at_most_a_page(visit):
    place = see(
        "['said', 'graph'].map((id) => find(id).getBoundingClientRect().top)"
        ".concat(view().svg.getBoundingClientRect().height / innerHeight)"
    )
    ((said, picture, share),) = visit("deep", {"go": "#step=15"}, {"print": True}, place)
    assert said < picture and share <= 0.881


def test_the_rail_stays_where_it_is(visit):
    left = see("find('rail').getBoundingClientRect().left")
    first, last = visit("small", left, *press("End"), left)
    assert first == last


def test_the_ring_around_what_has_the_focus_has_a_colour_of_its_own(visit):
    colours = see(
        "[getComputedStyle(find('rail')).outlineColor,"
        " getComputedStyle(document.querySelector('#rail i.forward.done')).backgroundColor]"
    )
    for dark in (False, True):
        ((ring, forward),) = visit(
            "small", {"click": "#rail"}, *press("Tab", "Shift+Tab"), colours, dark=dark
        )
        assert ring != forward


def test_letters_are_larger_on_a_very_large_screen(visit):
    size = see("parseFloat(getComputedStyle(find('sentence')).fontSize)")
    small, usual, large = (visit("small", size, width=w)[0] for w in (800, 1440, 3840))
    assert small == usual < large < 2 * usual


def test_numbers_on_boxes_have_the_size_that_their_box_has_room_for(visit):
    size = see(
        "getComputedStyle(document.querySelector('.view:not([hidden]) text.number')).fontSize"
    )
    for width in (1440, 3840):
        assert visit("small", size, width=width) == ["13px"]


@pytest.mark.parametrize("width", [390, 820])
def test_the_level_that_is_seen_can_be_read_in_the_header(visit, width):
    place = see(
        "(() => { const home = find('levels').getBoundingClientRect();"
        " const here = document.querySelector('#levels [aria-pressed=true]');"
        " const r = here.getBoundingClientRect();"
        " return [r.left >= home.left - 1, r.right <= home.right + 1,"
        " here.scrollWidth <= here.clientWidth]; })()"
    )
    assert visit("attention", place, width=width) == [[True, True, True]]


def test_the_help_and_the_legend_are_complete(visit):
    keys = see("[...document.querySelectorAll('#help kbd')].map((x) => x.textContent)")
    legend = see("document.querySelector('.legend').innerText")
    high = see("document.querySelector('.legend').clientHeight")
    said, kinds, height = visit("small", keys, legend, high)
    assert "?" in said and height < 30, "the legend is one line"
    for kind in ("constant", "used again", "value", "gradient", "no number"):
        assert kind in kinds


# ---------------------------------------------------------------- the rest


def test_without_javascript_the_picture_is_there(visit):
    visible = see(
        "[...document.querySelectorAll('.view, footer, aside, nav')]"
        ".filter((x) => x.checkVisibility()).map((x) => x.dataset.view ?? x.tagName)"
    )
    text = see("document.querySelector('noscript').innerText")
    shown, said = visit("small", visible, text, script=False)
    assert shown == ["3"] and "needs JavaScript" in said


def test_hostile_names_are_text(visit):
    steps = [action for i in range(19) for action in (*press("ArrowRight"), HEADING)]
    seen = visit("hostile", *steps, {"go": "#node=n0"}, HEADING, see("find('panel').innerHTML"))
    assert seen[-2] == pages.HOSTILE[0] and "&lt;script&gt;alert(1)" in seen[-1]
    elements = see("[...document.querySelectorAll('img, #panel script, iframe')].length")
    assert visit("hostile", {"go": "#node=n2"}, elements) == [0]


@pytest.mark.parametrize(
    "trespass",
    [
        "const s = document.createElement('script'); s.textContent = '1'; document.body.append(s)",
        "fetch('https://example.com/').catch(() => 0)",
        "document.body.setAttribute('style', 'color: red')",
        "new Image().src = 'https://example.com/x.png'",
    ],
)
def test_the_policy_forbids_whatever_else_might_run_or_be_fetched(visit, trespass):
    with pytest.raises(AssertionError, match="Content Security Policy"):
        visit("small", see(f"(() => {{ {trespass} }})()"), {"wait": 100})


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(visit, dark):
    seen = visit(
        "small", {"axe": True}, {"go": "#step=4"}, {"axe": True}, {"go": "#step=17&node=n1"},
        {"axe": True}, {"go": "#step=15&node=c0&view=1"}, {"axe": True}, *press("?"), {"axe": True},
        dark=dark,
    )  # fmt: skip
    assert seen == [[]] * 5
    phone = {"width": 390, "height": 844}  # where sentences do not fit, and scroll
    assert visit("hostile", {"go": "#step=12&node=n5"}, {"axe": True}, dark=dark, **phone) == [[]]


def test_a_step_changes_only_what_it_is_about(visit):
    """So a graph of 12 times the boxes is stepped through nearly as fast."""
    count = (
        "new Promise((done) => { let n = 0;"
        " const changes = new MutationObserver((list) => n += list.length);"
        " changes.observe(graph, { attributes: true, childList: true, subtree: true });"
        " go(state.step + 1); setTimeout(() => done(n), 50); })"
    )
    times = (
        "(() => { const times = []; for (let i = 1; i < 40; i++) { const t = performance.now();"
        " go(1 + i % 16); times.push(performance.now() - t); }"
        " return times.sort((x, y) => x - y)[20]; })()"
    )
    (small,) = visit("small", see(times))
    few, large = visit("deep", {"go": "#step=150"}, see(count), see(times))[-2:]
    assert 3 < few < 40
    assert large < 12 * max(small, 0.5)
