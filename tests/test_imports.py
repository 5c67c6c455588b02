"""Imports: the arrows point upwards in the reading order, and NumPy is all that is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_edu

HOME = Path(tinygrad_edu.__file__).parent
ORDER = [  # a module imports only from lines above its own
    "arrays modes random spelled elsewhere printed",
    "chain",
    "tensor",
    "rules",
    "creation",
    "ops",
    "derivatives checking initializers layers losses arena optimizers schedules idx text data "
    "training metrics cures detective graph explaining layout drawing explorer curve plotting "
    "checkpoints callbacks models watching __main__",
]
# Within the last line, and within ops, the arrows only must not go round in circles.
RANK = {module: i for i, line in enumerate(ORDER) for module in line.split()}
PLOTTING = ("boundary", "confusion", "figures", "histograms", "history")
THIRD_PARTY = {
    "graphviz": {"drawing"},
    "tqdm": {"__main__", "models.progress"},
    "matplotlib": {"plotting", *(f"plotting.{room}" for room in PLOTTING)},
    "safetensors": {"checkpoints.files"},
}
LAZY = {"graphviz", "tqdm", "safetensors", "matplotlib"}  # not loaded by `import tinygrad_edu`


def files():
    return sorted(p for p in HOME.rglob("*.py") if p.name != "__init__.py" or p.parent != HOME)


def module_name(path):
    """drawing, or ops.linalg; the package ops itself is ops."""
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path):
    """(imported module, inside a function) for every import that runs."""

    def visit(node, inside):
        if is_type_checking(node):
            for other in node.orelse:
                yield from visit(other, inside)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            known = {module_name(p) for p in files()}
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}".removeprefix("tinygrad_edu.")
                yield (f"tinygrad_edu.{deeper}" if deeper in known else node.module), inside
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


def arrows():
    """module -> the modules of this package that it imports."""
    found = {}
    for path in files():
        names = [name for name, _ in imports(path) if name.startswith("tinygrad_edu.")]
        found[module_name(path)] = {name.removeprefix("tinygrad_edu.") for name in names}
    return found


def test_every_module_has_its_place_in_the_reading_order():
    assert {name.split(".")[0] for name in arrows()} == set(RANK)


def test_every_import_points_upwards():
    for module, imported in arrows().items():
        for other in imported:
            mine, theirs = (RANK[name.split(".")[0]] for name in (module, other))
            last_line = mine == theirs == len(ORDER) - 1
            within_ops = module.split(".")[0] == other.split(".")[0] == "ops"
            assert theirs < mine or last_line or within_ops, f"{module} imports {other}"


def test_no_import_goes_round_in_circles():
    graph, done = arrows(), set()

    def visit(module, path):
        assert module not in path, " imports ".join((*path, module))
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    assert done == set(graph)


def test_no_module_imports_the_package_itself():
    """Where everything is gathered is where nothing comes from."""
    for path in files():
        assert all(name != "tinygrad_edu" for name, _ in imports(path)), path


def test_no_import_hides_in_a_function():
    for path in [*files(), HOME / "__init__.py"]:
        hidden = [name for name, inside in imports(path) if inside]
        assert not hidden, f"{path.name}: {hidden}"


def test_other_libraries_are_imported_by_one_file_only():
    allowed = set(sys.stdlib_module_names) | {"numpy", "tinygrad_edu"}
    for path in [*files(), HOME / "__init__.py"]:
        for name, _ in imports(path):
            library = name.split(".")[0]
            if library not in allowed:
                assert module_name(path) in THIRD_PARTY.get(library, ()), f"{path.name}: {library}"


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_needs_numpy_alone():
    loaded = run("import sys, tinygrad_edu; print(*{m.split('.')[0] for m in sys.modules})")
    assert not LAZY & set(loaded.split())
    others = set(loaded.split()) - set(sys.stdlib_module_names) - {"numpy", "tinygrad_edu"}
    assert all(name.startswith(("_", "sphinxcontrib", "google")) for name in others), others


def test_training_and_derivatives_work_without_the_other_libraries():
    script = f"""
import sys
for name in {sorted(LAZY)}:
    sys.modules[name] = None  # as if it were not installed
import numpy as np
import tinygrad_edu as tg
model = tg.layers.MLP(2, 4, 1, rng=0)
optimizer = tg.optimizers.Adam(model)
x = np.ones((3, 2), "f4")
optimizer.minimize(lambda: tg.losses.mean_squared_error(model(x), np.ones((3, 1))))
print(tg.derivatives.grad(tg.tanh)(0.0))
"""
    assert run(script) == "1.0"


@pytest.mark.parametrize("module", [module_name(p) for p in files() if p.stem != "__main__"])
def test_every_module_can_be_imported_first(module):
    run(f"import tinygrad_edu.{module}")
