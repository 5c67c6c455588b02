"""The layout: nothing overlaps, everything is in its frames, and lines run around boxes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import graphs_to_lay_out as graphs
from tinygrad_edu.layout import (
    Box,
    DotFailed,
    DotTooSlow,
    Link,
    NoDot,
    Placed,
    arrange,
    by_dot,
    dot_layout,
    layered,
)

NEAR = 1e-6
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is missing")
ENGINES = ["builtin", pytest.param("dot", marks=needs_dot)]
GRAPHS = {
    "nothing": ([], []),
    "one box": graphs.chain(1),
    "no links": (graphs.chain(3)[0], []),
    "chain": graphs.chain(6),
    "diamond": graphs.diamond(),
    "fan in": graphs.fan_in(24),
    "mlp": graphs.mlp(),
    "residual": graphs.residual(5),
    "rnn": graphs.rnn(6),
    "rnn with losses": graphs.rnn(6, losses=True),
    "attention": graphs.attention(),
    "scalars": graphs.scalars(24),
}
GRAPHS |= {f"{name}, labelled": graphs.labelled(GRAPHS[name]) for name in ("mlp", "attention")}


def sides(p):
    return p.x - p.width / 2, p.y - p.height / 2, p.x + p.width / 2, p.y + p.height / 2


def apart(p, q):
    (a, b, c, d), (e, f, g, h) = sides(p), sides(q)
    return c <= e + NEAR or g <= a + NEAR or d <= f + NEAR or h <= b + NEAR


def within(p, q):
    (a, b, c, d), (e, f, g, h) = sides(p), sides(q)
    return e <= a + NEAR and f <= b + NEAR and c <= g + NEAR and d <= h + NEAR


def on_border(point, p):
    a, b, c, d = sides(p)
    x, y = point
    inside = a - NEAR <= x <= c + NEAR and b - NEAR <= y <= d + NEAR
    return inside and min(abs(x - a), abs(x - c), abs(y - b), abs(y - d)) < NEAR


def enters(start, end, p):
    """Is a piece of the line from start to end inside the rectangle? (Liang and Barsky 1984)"""
    first, last = 0.0, 1.0
    a, b, c, d = sides(p)
    for from_, to, low, high in ((start[0], end[0], a, c), (start[1], end[1], b, d)):
        low, high, step = low + 0.01, high - 0.01, to - from_
        if abs(step) < NEAR:
            if not low < from_ < high:
                return False
            continue
        one, other = sorted(((low - from_) / step, (high - from_) / step))
        first, last = max(first, one), min(last, other)
    return first < last


def beside_each_other(boxes):
    """The satellites, with their consumers."""
    known = {box.key: box for box in boxes}
    return {
        box.key: box.beside
        for box in boxes
        if box.beside is not None and known[box.beside].frames == box.frames
    }


def check_boxes(boxes, layout):
    """Sizes are kept, nothing overlaps, everything is on the page."""
    assert list(layout.boxes) == [box.key for box in boxes]
    page = (layout.width, layout.height)
    for box in boxes:
        p = layout.boxes[box.key]
        assert (p.width, p.height) == (box.width, box.height)
    for p in (*layout.boxes.values(), *layout.frames.values()):
        a, b, c, d = sides(p)
        assert a >= 0 and b >= 0 and c <= page[0] and d <= page[1]
    for route in layout.routes:
        assert all(0 <= x <= page[0] and 0 <= y <= page[1] for x, y in route)
    for (one, p), (other, q) in combinations(layout.boxes.items(), 2):
        assert apart(p, q), (one, other)


def check_frames(boxes, layout):
    """A frame is around its boxes and inner frames, below its title, and around nothing else."""
    paths = {box.key: box.frames for box in boxes}
    places = dict(layout.boxes)
    inner = {}
    for box in boxes:
        for i, frame in enumerate(box.frames):
            inner[frame] = box.frames[:i]
    assert set(layout.frames) == set(inner)
    for i, frame in enumerate(layout.frames):
        assert all(list(layout.frames).index(outer) < i for outer in inner[frame])
    everything = [(key, paths[key], p) for key, p in places.items()]
    everything += [(frame, inner[frame], p) for frame, p in layout.frames.items()]
    for frame, p in layout.frames.items():
        below_title = p._replace(y=p.y + 9, height=p.height - 18)
        for key, path, q in everything:
            if frame in path:
                assert within(q, below_title), (key, frame)
            elif key != frame and key not in inner[frame]:
                assert apart(p, q), (key, frame)


def check_lines(boxes, links, layout, direction):
    """Lines go from border to border, and on."""
    satellites = beside_each_other(boxes)
    assert len(layout.routes) == len(layout.labels) == len(links)
    for link, route in zip(links, layout.routes, strict=True):
        source, target = layout.boxes[link.source], layout.boxes[link.target]
        assert len(route) >= 2
        assert on_border(route[0], source), link
        assert on_border(route[-1], target), link
        if link.source not in satellites:
            before, after = (3, 1) if direction == "TB" else (2, 0)
            assert sides(source)[before] < sides(target)[after]
    for key, consumer in satellites.items():
        p, q = layout.boxes[key], layout.boxes[consumer]
        assert sides(p)[2] < sides(q)[0] if direction == "TB" else sides(p)[3] < sides(q)[1]
        rank = [k for k, c in satellites.items() if c == consumer]
        middles = [layout.boxes[k].y if direction == "TB" else layout.boxes[k].x for k in rank]
        middle = q.y if direction == "TB" else q.x
        assert middles == sorted(middles)  # in the order in which they came, around the consumer
        assert len(rank) > 1 or abs(middles[0] - middle) < NEAR


def check_around(layout):
    """No line runs through a box."""
    for route in layout.routes:
        for start, end in pairwise(route):
            for key, p in layout.boxes.items():
                assert not enters(start, end, p), (key, start, end)


def check_labels(links, layout):
    """Labels lie on no box, and not on one another."""
    labels = []
    for link, at in zip(links, layout.labels, strict=True):
        assert (at is not None) == (link.height > 0)
        if at is not None:
            x, y = at
            a, b = link.width / 2, link.height / 2
            assert a <= x <= layout.width - a and b <= y <= layout.height - b
            labels.append(Placed(x, y, link.width, link.height))
    for p in labels:
        assert all(apart(p, q) for q in layout.boxes.values())
    for p, q in combinations(labels, 2):
        assert apart(p, q)


def check(boxes, links, layout, direction):
    check_boxes(boxes, layout)
    check_frames(boxes, layout)
    check_lines(boxes, links, layout, direction)
    if layout.engine == "builtin":
        check_around(layout)
        check_labels(links, layout)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", GRAPHS)
def test_layouts_of_computations(name, direction, engine):
    boxes, links = GRAPHS[name]
    layout = arrange(boxes, links, direction, engine)
    assert layout.engine == engine
    check(boxes, links, layout, direction)
    assert arrange(boxes, links, direction, engine) == layout


@st.composite
def any_graph(draw):
    """Boxes of any size, nested frames, satellites, labels, links several times, in any order."""
    parents = [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(0, 5)))]
    paths = {-1: ()}
    for i, parent in enumerate(parents):
        paths[i] = (*paths[parent], f"f{i}")
    frames = st.integers(-1, len(parents) - 1).map(paths.get)
    sizes = st.sampled_from([8.0, 30.5, 60.0, 140.25])
    n = draw(st.integers(1, 14))
    boxes = [Box(f"n{i}", draw(sizes), draw(sizes), draw(frames)) for i in range(n)]
    label = st.sampled_from([(0, 0), (0, 0), (40, 16), (70.5, 30)])
    links = []
    for _ in range(draw(st.integers(0, 2 * n)) if n > 1 else 0):
        a = draw(st.integers(0, n - 2))
        b = draw(st.integers(a + 1, n - 1))
        links += [Link(f"n{a}", f"n{b}", *draw(label))] * draw(st.sampled_from([1, 1, 1, 2, 5]))
    for i in range(draw(st.integers(0, 6))):
        consumer = boxes[draw(st.integers(0, n - 1))]
        path = consumer.frames if draw(st.booleans()) else draw(frames)
        boxes.append(Box(f"s{i}", draw(sizes), draw(sizes), path, consumer.key))
        links += [Link(f"s{i}", consumer.key, *draw(label))] * draw(st.integers(0, 3))
    return draw(st.permutations(boxes)), draw(st.permutations(links))


@settings(max_examples=300, deadline=None)
@given(any_graph(), st.sampled_from(["TB", "LR"]))
def test_any_graph(graph, direction):
    layout = layered(*graph, direction)
    check(*graph, layout, direction)
    assert layered(*graph, direction) == layout


@needs_dot
@settings(max_examples=60, deadline=None)
@given(any_graph(), st.sampled_from(["TB", "LR"]))
def test_any_graph_by_dot(graph, direction):
    layout = by_dot(*graph, direction)
    check(*graph, layout, direction)
    assert by_dot(*graph, direction) == layout


@pytest.mark.parametrize(("direction", "axis"), [("TB", 0), ("LR", 1)])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_chain_is_a_straight_line(engine, direction, axis):
    boxes, links = graphs.labelled(graphs.chain(8))
    boxes = [box._replace(width=60 + 10 * i, height=90 - 7 * i) for i, box in enumerate(boxes)]
    layout = arrange(boxes, links, direction, engine)
    aside = [p[axis] for p in layout.boxes.values()]
    aside += [point[axis] for route in layout.routes for point in route]
    assert max(aside) - min(aside) <= (1 if engine == "dot" else 0)  # dot counts in whole pixels
    if engine == "builtin":
        assert all(len(route) == 2 for route in layout.routes)


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("losses", [False, True])
def test_the_main_line_is_straight(losses, direction):
    axis = ["TB", "LR"].index(direction)
    for graph, line in [
        (graphs.residual(5), ["x", "0fc1@", "relu0", "2fc2+", "add0", "add4", "loss"]),
        (graphs.rnn(9, losses), [f"{op}{t}" for t in range(1, 9) for op in ("hW", "add", "tanh")]),
        (graphs.mlp(), ["x", "fc1@", "tanh", "fc2+", "loss", "total"]),
        (graphs.attention(), ["scores", "softmax", "mix", "out@", "out+", "add"]),
        (graphs.scalars(24), ["s1", "s2", "s3", "s4", "s5"]),
    ]:
        boxes = layered(*graph, direction).boxes
        assert len({round(boxes[key][axis], 6) for key in line}) == 1
    layout = layered(*graphs.rnn(9, losses=True), direction)
    assert len({round(layout.boxes[f"total{t}"][axis], 6) for t in range(1, 8)}) == 1


def test_a_long_net_does_not_drift_aside():
    """Twice as deep is as wide."""
    for make in (graphs.residual, lambda n: graphs.rnn(n, losses=True), graphs.scalars):
        assert layered(*make(60)).width < 1.1 * layered(*make(30)).width


def test_a_diamond_and_a_fan_are_symmetrical():
    boxes = layered(*graphs.diamond()).boxes
    assert boxes["x"].x == boxes["y"].x == (boxes["a"].x + boxes["b"].x) / 2
    layout = layered(*graphs.fan_in(24))
    assert layout.boxes["sum"].x == pytest.approx(layout.width / 2)


def test_boxes_stand_near_their_consumers():
    boxes = layered(*graphs.rnn(6, losses=True)).boxes
    for t in range(6):
        assert boxes[f"x{t}"].y < boxes[f"xU{t}"].y == boxes[f"hW{t}"].y
        assert boxes[f"x{t}"].y > boxes[f"hW{t - 1}"].y if t else True
        assert boxes[f"loss{t}"].y <= boxes[f"hW{t + 1}"].y if t < 5 else True


def test_frames_of_a_chain_stand_below_one_another():
    """Even if something in the first is needed only after the second."""
    boxes = [Box(key, 50, 30, (key[0],)) for key in ("a1", "a2", "b1", "b2", "a3", "c", "d")]
    pairs = ["a1 a2", "a2 b1", "b1 b2", "b2 c", "a1 a3", "a3 c", "a3 d", "b2 d"]
    layout = layered(boxes, [Link(*pair.split()) for pair in pairs])
    assert sides(layout.frames["a"])[3] < sides(layout.frames["b"])[1]


def test_a_frame_that_is_left_and_entered_again():
    boxes = [Box("a", 50, 30, ("f",)), Box("x", 50, 30), Box("b", 50, 30, ("f",))]
    layout = layered(boxes, [Link("a", "x"), Link("x", "b")])
    assert apart(layout.frames["f"], layout.boxes["x"])


def test_what_can_be_drawn_without_crossings_is():
    boxes = [Box(key, 50, 30) for key in "abcxyzuvw"]
    layout = layered(boxes, [Link(*pair) for pair in ("ay", "bz", "cx", "xv", "yw", "zu")])
    for one, other in combinations(layout.routes, 2):
        if one[0][1] == other[0][1]:  # of the same two ranks
            assert (one[0][0] < other[0][0]) == (one[-1][0] < other[-1][0])


def test_lines_leave_a_frame_by_its_bottom_and_enter_it_by_its_top():
    keys = ["x", "a", "b", "c", "y"]
    boxes = [Box(key, 50, 30, ("f",) if key in "abc" else ()) for key in keys]
    links = [Link(*pair) for pair in pairwise(keys)] + [Link("x", "c"), Link("a", "y")]
    layout = layered(boxes, links)
    left, _, right, _ = sides(layout.frames["f"])
    assert all(left < x < right for route in layout.routes for x, _ in route)


def test_lines_meet_a_box_beside_one_another():
    layout = layered(*graphs.fan_in(5))
    ends = [route[-1][0] for route in layout.routes]
    assert [b - a for a, b in pairwise(ends)] == [12, 12, 12, 12]


def test_lines_of_one_source_share_their_way():
    boxes, links = graphs.chain(8)
    links += [Link("n0", "n4"), Link("n0", "n7")]
    *_, short, long = layered(boxes, links).routes
    assert short[:2] == long[:2]
    assert short[2][0] == long[2][0]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_links_of_the_same_boxes_are_two_lines(engine):
    boxes = [Box("W", 50, 30, beside="y"), Box("x", 50, 30), Box("y", 50, 30)]
    links = [Link("W", "y"), Link("W", "y"), Link("x", "y"), Link("x", "y")]
    layout = arrange(boxes, links, engine=engine)
    beside, beside_too, *above = layout.routes
    assert beside_too[0][1] - beside[0][1] == beside_too[1][1] - beside[1][1] == 6
    assert above[0] != above[1]
    if engine == "builtin":
        assert [q[0] - p[0] for p, q in zip(*above, strict=True)] == [6, 6]


def test_a_satellite_stands_left_of_its_consumer_or_above_it():
    boxes = [Box("y", 80, 40), Box("W", 60, 30, beside="y"), Box("b", 50, 30, beside="y")]
    links = [Link("W", "y"), Link("b", "y", 40, 16)]
    for direction in ("TB", "LR"):
        places = layered(boxes, links, direction).boxes
        if direction == "LR":
            places = {k: Placed(p.y, p.x, p.height, p.width) for k, p in places.items()}
        w, b, y = (sides(places[key]) for key in "Wby")
        assert w[2] == b[2] < y[0]
        assert w[3] < b[1]
        assert (w[1] + b[3]) / 2 == pytest.approx(places["y"].y)


def test_the_longest_links_run_outside_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("tinygrad_edu.layout.orders.MANY", 0)
    monkeypatch.setattr("tinygrad_edu.layout.orders.KNOTS_PER_UNIT", 2)
    boxes, links = graphs.chain(40)
    nested = [Link(f"n{i}", f"n{39 - i}", 30, 10) for i in range(19)]
    layout = layered(boxes, links + nested)
    check(boxes, links + nested, layout, "TB")
    right = max(sides(p)[2] for p in layout.boxes.values())
    outer, inner = layout.routes[-19], layout.routes[-1]
    assert max(x for x, _ in outer) > max(right, *(x for x, _ in inner))
    level = [[p[1] == q[1] for p, q in pairwise(route)].count(True) for route in (outer, inner)]
    assert level == [2, 0]  # to its lane, and back


def test_the_same_input_gives_the_same_layout_in_any_process():
    script = (
        "from tests import graphs_to_lay_out as graphs\n"
        "from tinygrad_edu.layout import layered\n"
        "print([layered(*graphs.labelled(make)) for make in (graphs.rnn(9, True), "
        "graphs.attention())])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


X, Y = Box("x", 50, 30), Box("y", 50, 30)
REFUSED = {
    "the links go in a circle: 'x' -> 'y' -> 'x'": ([X, Y], [Link("x", "y"), Link("y", "x")]),
    "the links go in a circle: 'x' -> 'x'": ([X], [Link("x", "x")]),
    "two boxes have the key 'x'": ([X, Y, X], []),
    "'z' is no box": ([X], [Link("x", "z")]),
    "box 'x' has the size 0 x 30": ([X._replace(width=0)], []),
    "box 'x' has the size nan x 30": ([X._replace(width=float("nan"))], []),
    "the label of 'x' -> 'y' has the size inf x 0": (
        [X, Y],
        [Link("x", "y", float("inf"))],
    ),
    "beside 'z', which is no box": ([X._replace(beside="z")], []),
    "which is beside another": ([X._replace(beside="y"), Y._replace(beside="x")], []),
    "concerns a box that is beside another": (
        [X, Y, Box("p", 9, 9, beside="x")],
        [Link("p", "x"), Link("p", "y")],
    ),
    "frame 'g' is in 'f' for one box and in None for 'y'": (
        [X._replace(frames=("f", "g")), Y._replace(frames=("g",))],
        [],
    ),
    "box 'x' is in a frame twice": ([X._replace(frames=("f", "f"))], []),
}


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.parametrize("place", [layered, by_dot, arrange])
def test_what_cannot_be_laid_out_is_said(place, message):
    with pytest.raises(ValueError, match=f"^layout: .*{message}"):
        place(*REFUSED[message])


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="direction='RL'; it is 'TB' or 'LR'"):
        arrange([X], [], "RL")
    with pytest.raises(ValueError, match="engine='neato'; it is 'auto', 'dot' or 'builtin'"):
        arrange([X], [], engine="neato")


def program(tmp_path, monkeypatch, body):
    """Put a program called dot in the way of the true one."""
    file = tmp_path / "dot"
    file.write_text(f"#!{sys.executable}\n{body}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_dot(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoDot, match=r"dot, which is not on this machine.*\n.*apt install graphviz"):
        arrange([X], [], engine="dot")
    assert arrange([X], []) == layered([X], [])


def test_a_dot_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    program(
        tmp_path,
        monkeypatch,
        f"import time; time.sleep(2); open({str(mark)!r}, 'w').close(); time.sleep(60)",
    )
    start = time.perf_counter()
    with pytest.raises(DotTooSlow, match=r"dot did not finish in 0\.5 s and was stopped"):
        by_dot([X], [], seconds=0.5)
    assert arrange([X], [], seconds=0.5).engine == "builtin"
    assert time.perf_counter() - start < 20
    time.sleep(2.5)
    assert not mark.exists()  # it did not live on


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys; sys.exit('Error: no memory')", "dot gave no layout: Error: no memory"),
        ("print('{}')", "dot's answer lacks a position"),
        ("print('[]')", "dot gave no layout: 0"),
        ("print('what?')", "dot gave no layout: 0"),
    ],
)
def test_a_dot_that_fails(tmp_path, monkeypatch, body, message):
    program(tmp_path, monkeypatch, body)
    with pytest.raises(DotFailed, match=message):
        by_dot([X], [])
    assert arrange([X], []).engine == "builtin"


def test_dot_is_not_asked_for_what_takes_it_long(monkeypatch):
    def not_asked(*_):
        raise AssertionError

    monkeypatch.setattr("tinygrad_edu.layout.by_dot", not_asked)
    assert arrange(*graphs.chain(1501)).engine == "builtin"
    assert arrange(*graphs.labelled(graphs.chain(252))).engine == "builtin"
    assert arrange(*graphs.nested_skips(100)).engine == "builtin"
    with pytest.raises(AssertionError):
        arrange(*graphs.chain(1500))


@needs_dot
def test_keys_may_be_anything():
    boxes = [Box('a"<b>\\', 50, 30, ("]}", '"')), Box("", 50, 30), Box("é\n;", 50, 30)]
    links = [Link('a"<b>\\', ""), Link("", "é\n;")]
    check(boxes, links, by_dot(boxes, links), "TB")


def test_how_it_is_asked_of_dot():
    plan = dot_layout.Plan.of([X, Y], [Link("x", "y")], "LR")
    text = dot_layout.dot_text(plan)
    assert "rankdir=LR" in text
    assert text.count("FIXEDSIZE") == 2
    assert "u0:box:e -> u1:box:w" in text


def seconds(graph):
    start = time.perf_counter()
    layered(*graph)
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda n: graphs.residual(n // 10),
        lambda n: graphs.rnn(n // 8),
        lambda n: graphs.rnn(n // 10, losses=True),
        graphs.chain,
        graphs.scalars,
        lambda n: graphs.labelled(graphs.chain(n)),
        graphs.nested_skips,
    ],
)
def test_time_grows_with_the_number_of_boxes_and_not_with_its_square(make):
    small, large = make(1000), make(10_000)
    assert seconds(large) < 60 * min(seconds(small) for _ in range(3))
