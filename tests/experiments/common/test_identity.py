"""What a result is stored with changes with all that it depends on."""

import inpaint_jax
from experiments.common import identity


def package(folder, **modules):
    for name, text in modules.items():
        path = folder / "package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "package"


def test_code_is_known_by_what_is_in_its_files_and_not_by_where_they_are(tmp_path):
    mine = package(tmp_path / "a", first="x = 1\n", second="y = 1\n")
    found = identity.of_sources(mine)
    moved = package(tmp_path / "b", second="y = 1\n", first="x = 1\n")
    assert identity.of_sources(moved) == found
    assert identity.of_sources(package(tmp_path / "b", first="x = 2\n")) != found
    swapped = package(tmp_path / "c", first="y = 1\n", second="x = 1\n")
    assert identity.of_sources(swapped) != found
    assert identity.of_sources(package(tmp_path / "a", third="")) != found


def test_what_an_editor_leaves_does_not_count(tmp_path):
    mine = package(tmp_path, first="x = 1\n")
    found = identity.of_sources(mine)
    (mine / ".#first.py").symlink_to("nobody@nowhere")
    (mine / "first.pyc").write_bytes(b"compiled")
    assert identity.of_sources(mine) == found


def test_the_version_and_both_packages_count():
    version, plus, sources = identity.of_code().partition("+")
    assert (version, plus) == (inpaint_jax.__version__, "+")
    assert sources == identity.of_sources(*identity._PACKAGES)
    assert [each.name for each in identity._PACKAGES] == ["inpaint_jax", "experiments"]
    assert all((each / "__init__.py").is_file() for each in identity._PACKAGES)
