"""The conventions of the library that a reader relies on, checked on its source."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "inpaint_jax"
EXPERIMENTS = PACKAGE.parent / "experiments"
NAME = PACKAGE.name
# A folder, or a module at the root, imports from itself and from what stands before it.
LAYERS = [
    *("errors", "types", "runtime"),
    *("ops", "images", "io", "models", "landmarks", "losses"),
    *("evaluation", "baselines", "pretrained", "training", "search"),
]
HEAVY = ("dlib", "tensorflow", "tensorflow_datasets", "matplotlib")
# Lines of a module, and of a function with its docstring.
LONGEST_MODULE, LONGEST_FUNCTION = 300, 50
# Parameters with a default that may be given by position.
POSITIONAL_DEFAULTS = {
    "evaluation.metrics.psnr(region)",
    "landmarks.dlib_host.Predictor.__init__(path)",
    # How much of a training is over comes last, after a batch of any length.
    *{
        f"training.train_{name}.train_step(progress)"
        for name in ("gan", "completer", "encoder", "landmark_net", "parser")
    },
}


@functools.cache
def sources(root=PACKAGE):
    """{dotted name without the package: parsed module}."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        modules[name] = ast.parse(path.read_text(encoding="utf-8"))
    return modules


def imported(tree):
    """Dotted names of everything a module imports, nested imports included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import comes out with its dots, and is then refused.
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def forbidden_imports(name, tree):
    own = name.split(".")[0]
    lower = LAYERS[: LAYERS.index(own) + 1] if own else LAYERS
    for full in imported(tree):
        root, *rest = full.split(".")
        if root in ("", "experiments", "tests"):
            yield full
        if root == NAME and rest and rest[0] in LAYERS and rest[0] not in lower:
            yield full


def imports_dlib(tree):
    """Whether a module imports dlib, by a statement or a call with its name."""
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    by_name = any(
        isinstance(given, ast.Constant) and given.value == "dlib"
        for call in called
        for given in call.args
    )
    return by_name or any(full.split(".")[0] == "dlib" for full in imported(tree))


def public(tree):
    """Yields (qualified name, definition) of public functions, classes and methods."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, kinds) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                hidden = item.name.startswith("_") if isinstance(item, kinds) else True
                if isinstance(item, kinds) and (not hidden or is_dunder(item.name)):
                    yield f"{node.name}.{item.name}", item


def is_dunder(name):
    return name.startswith("__") and name.endswith("__")


def public_functions(tree):
    """Yields (name, definition, parameters without self)."""
    for name, node in public(tree):
        if not isinstance(node, ast.ClassDef):
            yield name, node, positional(node, is_method="." in name)


def every_function(tree, prefix="", is_class=False):
    """Yields what `public_functions` does, of private and nested functions too."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        name = f"{prefix}.{node.name}".lstrip(".") if named else prefix
        if named and not isinstance(node, ast.ClassDef):
            yield name, node, positional(node, is_method=is_class)
        yield from every_function(node, name, isinstance(node, ast.ClassDef))


def positional(function, *, is_method):
    """Its parameters that are not keyword-only, without self."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    return parameters[is_method and "staticmethod" not in decorators :]


def without_docstring(tree):
    if ast.get_docstring(tree) is None:
        yield "the module"
    yield from (n for n, node in public(tree) if ast.get_docstring(node) is None)


def without_annotation(tree):
    for name, node, parameters in every_function(tree):
        more = [node.args.vararg, node.args.kwarg]
        every = [*parameters, *node.args.kwonlyargs, *filter(None, more)]
        yield from (f"{name}({p.arg})" for p in every if p.annotation is None)
        if node.returns is None:
            yield f"{name} ->"


def keys_not_first(tree):
    for name, node, parameters in public_functions(tree):
        names = [p.arg for p in parameters]
        keyword_only = [p.arg for p in node.args.kwonlyargs]
        if "key" in keyword_only or "key" in names[1:]:
            yield name


def positional_defaults(tree):
    for name, node, parameters in public_functions(tree):
        count = len(node.args.defaults)
        yield from (f"{name}({p.arg})" for p in parameters[len(parameters) - count :])


def byte_literals(tree):
    for node in ast.walk(tree):
        is_number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if is_number and node.value in (127.5, 255):
            yield f"{node.value} in line {node.lineno}"


def too_long_modules(tree):
    last = tree.body[-1].end_lineno if tree.body else 0
    if last > LONGEST_MODULE:
        yield f"the module ends in line {last}"


def too_long_functions(tree):
    for name, node, _ in every_function(tree):
        lines = node.end_lineno - node.lineno + 1
        if lines > LONGEST_FUNCTION:
            yield f"{name} has {lines} lines"


def too_long(tree):
    yield from too_long_modules(tree)
    yield from too_long_functions(tree)


def over(modules, rule):
    """{module: what breaks the rule there}, modules that keep it left out."""
    found = {name: list(rule(tree)) for name, tree in modules.items()}
    return {name: broken for name, broken in found.items() if broken}


def over_library(rule):
    return over(sources(), rule)


def test_every_module_has_its_layer():
    top = {name.split(".")[0] for name in sources()} - {""}
    assert top == set(LAYERS)


def test_modules_import_lower_layers_only():
    found = {n: list(forbidden_imports(n, tree)) for n, tree in sources().items()}
    assert not {name: broken for name, broken in found.items() if broken}


def test_only_the_host_module_imports_dlib():
    assert [n for n, tree in sources().items() if imports_dlib(tree)] == [
        "landmarks.dlib_host"
    ]


def test_importing_the_library_imports_nothing_heavy():
    names = [f"{NAME}.{name}".rstrip(".") for name in sources()]
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(len([n for n in sys.modules if n.startswith({NAME!r})]))\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:2] == [str(len(names)), "[]"]


def test_everything_public_has_a_docstring():
    assert not over_library(without_docstring)


def test_everything_is_annotated():
    assert not over_library(without_annotation)


def test_key_is_the_first_parameter():
    # The one public call has a default for its key, as for all that is not the face.
    assert over_library(keys_not_first) == {"search.completion": ["complete"]}


def test_options_are_keyword_only():
    found = over_library(positional_defaults)
    given = {f"{name}.{item}" for name, items in found.items() for item in items}
    assert given == POSITIONAL_DEFAULTS


def test_only_pixels_knows_the_range_of_bytes():
    assert set(over_library(byte_literals)) == {"images.pixels"}


def probes(tree):
    """Yields calls of pathlib that raise for some paths, where os.path says False."""
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called and node.func.attr in ("is_file", "is_dir", "exists", "resolve"):
            if ast.unparse(node.func.value) not in ("os.path", "info"):
                yield ast.unparse(node)


def named_flags(tree):
    """Yields the flags that texts begin with; only applications have flags."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node.values:
            text = ast.unparse(node.values[0]).strip("'\"")
            if re.match("--[a-z]", text):
                yield text


def test_the_library_names_no_flag_as_wrong():
    # The lock of a run is the one that is left.
    assert not over_library(named_flags).keys() - {"io.checkpoints"}


def test_paths_are_asked_so_that_none_raises():
    for root in (PACKAGE, EXPERIMENTS):
        assert not over(sources(root), probes)


def test_modules_and_functions_are_short():
    assert not over_library(too_long)


def test_modules_and_functions_of_the_experiments_are_short_and_annotated():
    for rule in (too_long, without_annotation):
        assert not over(sources(EXPERIMENTS), rule)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (
            functools.partial(forbidden_imports, "images.masks"),
            "from inpaint_jax.io import data",
        ),
        (functools.partial(forbidden_imports, "ops.x"), "import inpaint_jax.models.d"),
        (functools.partial(forbidden_imports, "search.x"), "from . import files"),
        (
            functools.partial(forbidden_imports, "io.files"),
            "from experiments import train",
        ),
        (
            functools.partial(forbidden_imports, "errors"),
            "def f():\n  from inpaint_jax.images.masks import centre",
        ),
        (without_docstring, "'''Module.'''\ndef f(): pass"),
        (without_docstring, "'''Module.'''\nclass A:\n  '''A.'''\n  def f(self): 1"),
        (without_docstring, "x = 1"),
        (without_annotation, "def f(x) -> int: return x"),
        (without_annotation, "def f(x: int): return x"),
        (without_annotation, "class A:\n  def f(self, *, x) -> int: return x"),
        (without_annotation, "class A:\n  def __init__(self, x: int): pass"),
        (without_annotation, "def _f(*x) -> int: return x"),
        (without_annotation, "def f() -> int:\n  def g(x) -> int: pass"),
        (without_annotation, "if 1:\n  def f(**x) -> int: pass"),
        (keys_not_first, "def f(x, key): pass"),
        (keys_not_first, "def f(x, *, key): pass"),
        (positional_defaults, "def f(x, y=1): pass"),
        (positional_defaults, "class A:\n  def f(self, x=1): pass"),
        (too_long_modules, "x = 1\n" * (LONGEST_MODULE + 1)),
        (too_long_modules, "\n" * LONGEST_MODULE + "def f(): pass"),
        (too_long_functions, "def f():\n" + "  x = 1\n" * LONGEST_FUNCTION),
        (
            too_long_functions,
            "class A:\n  def f(self):\n" + "    x = 1\n" * LONGEST_FUNCTION,
        ),
        (byte_literals, "x = y / 255.0"),
        (probes, "pathlib.Path('a').is_file()"),
        (named_flags, "f'--mask={name}: no such mask'"),
        (byte_literals, "x = y * 127.5"),
    ],
)
def test_the_rules_see_what_breaks_them(rule, source):
    assert len(list(rule(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source", ["import dlib", "from dlib import x", "importlib.import_module('dlib')"]
)
def test_an_import_of_dlib_is_seen(source):
    assert imports_dlib(ast.parse(source))
