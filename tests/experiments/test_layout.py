"""Where things are in the experiments, and that their guides name them."""

import ast
import pathlib
import re

import pytest

from tests.test_conventions import imported

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
NAME = FOLDER.name
# A folder imports from itself and from what stands before it; the applications at the
# root import from all folders, and nothing imports them.
LAYERS = ["common", "search", "training", "evaluation", "benchmarks", "page"]


def sources():
    """{path of a module below the folder: its text}."""
    paths = sorted(FOLDER.rglob("*.py"))
    return {p.relative_to(FOLDER): p.read_text(encoding="utf-8") for p in paths}


def applications():
    return {
        path.stem: text
        for path, text in sources().items()
        if len(path.parts) == 1 and path.stem != "__init__"
    }


def forbidden_imports(layer, tree):
    """Yields what a module must not import; that of no layer is an application."""
    lower = LAYERS[: LAYERS.index(layer) + 1] if layer else LAYERS
    for full in imported(tree):
        root, *rest = full.split(".")
        own = root == NAME and (not rest or rest[0] not in lower)
        if own or root in ("", "tests"):
            yield full


def is_application(text):
    """Whether `python -m` starts it: it has main(), and runs it as all others do."""
    tree = ast.parse(text)
    has_main = any(
        isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
    )
    last = ast.unparse(tree.body[-1]) if tree.body else ""
    started = "if __name__ == '__main__':\n    application.run(main"
    return has_main and last.startswith((f"{started})", f"{started}, callbacks="))


def test_every_folder_has_its_layer():
    assert {path.parts[0] for path in sources() if len(path.parts) > 1} == set(LAYERS)


def test_modules_import_lower_layers_only():
    found = {
        str(path): list(forbidden_imports("/".join(path.parts[:-1]), ast.parse(text)))
        for path, text in sources().items()
    }
    assert not {name: breaks for name, breaks in found.items() if breaks}


def test_at_the_root_there_are_only_applications():
    assert not [
        name for name, text in applications().items() if not is_application(text)
    ]


def test_the_guide_names_every_application_and_folder():
    guide = (FOLDER / "README.md").read_text(encoding="utf-8")
    names = [*applications(), *(f"{layer}/" for layer in LAYERS)]
    assert not [name for name in names if f"`{name}`" not in guide]


def test_the_guide_of_the_flags_names_every_file():
    guide = (FOLDER / "flags" / "README.md").read_text(encoding="utf-8")
    files = {path.stem for path in (FOLDER / "flags").glob("*.flags")}
    assert not [name for name in sorted(files) if f"`{name}`" not in guide]


@pytest.mark.parametrize(
    "layer", [each for each in LAYERS if (FOLDER / each / "README.md").exists()]
)
def test_the_guide_of_a_folder_names_every_module(layer):
    guide = (FOLDER / layer / "README.md").read_text(encoding="utf-8")
    assert len(guide.splitlines()) <= 60
    modules = {path.stem for path in (FOLDER / layer).glob("*.py")} - {"__init__"}
    assert not [name for name in sorted(modules) if f"`{name}`" not in guide]


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("search", "from experiments.training import stepping"),
        ("common", "import experiments.search.methods"),
        ("evaluation", "from experiments import train"),
        ("benchmarks", "from . import timing"),
        ("", "from experiments import inpaint"),
        ("common", "import experiments"),
    ],
)
def test_an_import_from_above_is_seen(layer, source):
    assert len(list(forbidden_imports(layer, ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    ["", "def main(): pass", "if __name__ == '__main__':\n  application.run(main)"],
)
def test_what_is_no_application_is_seen(source):
    assert not is_application(source)


def test_the_documents_stay_short():
    root = FOLDER.parent
    for name, most in (("README.md", 8_000), ("BUILD_NOTES.md", 25_000)):
        assert (root / name).stat().st_size <= most, name


def test_links_of_the_documents_lead_somewhere():
    root = FOLDER.parent
    documents = [root / "README.md", root / "BUILD_NOTES.md", *FOLDER.rglob("*.md")]
    for path in documents:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert target.startswith("https:") or (path.parent / target).exists(), (
                path,
                target,
            )
