"""A dataclass's fields as flags: each kind, its limits, and what is refused."""

import dataclasses
import math
from typing import Literal

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.common import application, fields, options, usage
from experiments.common.fields import About
from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Library:
    """A dataclass that knows of no flags.

    Attributes:
      term: which.
      weight: of it, in a text
        of two lines.
      inside: no flag.
    """

    term: Literal["soft", "hard"] = "soft"
    weight: float = 2.0
    inside: int = 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the flags here decide."""

    mirrored: bool = options.option(True, "Whether.")
    every: int = options.option(3, "How often.", least=1)
    share: float = options.option(0.5, "How much.", least=0.0, most=1.0)
    weight: float = options.option(1.0, "Of it.")
    rate: float = options.option(1e-3, "How fast.", above=0.0)
    kind: str = options.option("one", "Which.", of=("one", "two"))
    path: str = options.option("", "Where.")
    changes: tuple[str, ...] = options.option(("a", "b"), "What.", of=("a", "b", "c"))
    word: Literal["up", "down"] = options.option("up", "Whither.")
    limit: int | None = options.option(None, "How many.", least=1)
    known: bool | None = options.option(None, "Whether it is.")
    stages: tuple[tuple[int, int], ...] = options.option((), "When.")
    peer: tuple[Literal["x", "y"], ...] = options.option((), "Who.", repeated=True)
    settings: Library = options.nested(
        Library(),
        prefix="library_",
        without=("inside",),
        weight=About(least=1.0),
    )


OTHERS = {
    "--nomirrored": ("mirrored", False),
    "--every=7": ("every", 7),
    "--share=1": ("share", 1.0),
    "--weight=-2e-3": ("weight", -2e-3),
    "--rate=0.1": ("rate", 0.1),
    "--kind=two": ("kind", "two"),
    "--path=a b": ("path", "a b"),
    "--changes=c,a": ("changes", ("c", "a")),
    "--changes=": ("changes", ()),
    "--word=down": ("word", "down"),
    "--limit=2": ("limit", 2),
    "--noknown": ("known", False),
    "--stages=4x9,2x4": ("stages", ((4, 9), (2, 4))),
    "--peer=x": ("peer", ("x",)),
    "--library_term=hard": ("settings", Library("hard")),
    "--library_weight=3": ("settings", Library(weight=3.0)),
}


def test_flags_default_to_the_fields():
    assert options.parse(Recipe, []) == Recipe()
    assert {"every", "library_term", "library_weight"} < {*options.names(Recipe)}
    assert "library_inside" not in options.names(Recipe)


@pytest.mark.parametrize("given", OTHERS)
def test_each_kind_is_read_as_its_field_is_typed(given):
    name, value = OTHERS[given]
    found = options.parse(Recipe, [given])
    assert found == dataclasses.replace(Recipe(), **{name: value})
    assert type(getattr(found, name)) is type(value)


def test_what_is_not_given_is_as_the_base_says():
    base = options.parse(Recipe, ["--every=7", "--library_term=hard"])
    given = ["--every=3", "--library_weight=3"]
    found = options.parse(Recipe, given, base=base)
    assert found == Recipe(settings=Library("hard", 3.0))


def test_flags_come_from_files_too(tmp_path):
    file = tmp_path / "some.flags"
    file.write_text("# Some.\n--every=9\n--kind=two\n")
    found = options.parse(Recipe, [f"--flagfile={file}", "--every=8"])
    assert (found.every, found.kind) == (8, "two")


@pytest.mark.parametrize(
    "given",
    ["--every=0", "--every=1.5", "--share=-0.1", "--share=1.1", "--kind=three"]
    + ["--weight=much", "--mirrored=perhaps", "--word=left", "--limit=0"]
    + ["--rate=0", "--rate=-1", "--peer=z", "--library_term=none", "--stages=4,9"]
    + ["--every=2000000000", f"--every={31 * '9'}", f"--stages=4x{31 * '9'}"]
    + ["--library_weight=0", "--library_inside=2", "--nothing=1", "everything"],
)
def test_what_no_option_can_mean_is_one_sentence(given):
    with pytest.raises(InputError) as refused:
        options.parse(Recipe, [given])
    assert given.lstrip("-").split("=")[0] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_word_that_is_none_of_a_list_is_refused():
    with pytest.raises(InputError, match=r"^--changes=d: give any of a, b, c, with"):
        options.parse(Recipe, ["--changes=a,d"])


@pytest.mark.parametrize("name", ["share", "weight", "rate", "library_weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(name, value):
    with pytest.raises(InputError) as caught:
        options.parse(Recipe, [f"--{name}={value}"])
    assert name in str(caught.value)


@pytest.mark.parametrize("given", ["--weight=1e39", "--weight=-1e39", "--rate=1e308"])
def test_numbers_that_would_overflow_are_refused(given):
    with pytest.raises(InputError, match=f"^{given}: .*1000000000"):
        options.parse(Recipe, [given])


@pytest.mark.parametrize(
    "given", [["--undefok=evry", "--evry=7"], ["-undefok", "evry", "--evry=7"]]
)
def test_no_flag_lets_misspelt_ones_pass(given):
    with pytest.raises(InputError, match="^--undefok: would hide misspelt flags"):
        options.parse(Recipe, given)


@dataclasses.dataclass(frozen=True)
class Renamed:
    """Options that had other names."""

    z_prior: str = options.option("uniform", "How z is drawn.")
    init_std: float = options.option(0.3, "How far.")
    precision: str = options.option("auto", "How exact.")
    pretrained: str | None = options.option(None, "Networks to start from.")


@pytest.mark.parametrize(
    ("old", "new"),
    [("start", "z_prior"), ("spread", "init_std")]
    + [("products", "precision"), ("start_from", "pretrained")],
)
def test_an_old_name_leads_to_the_new_one(old, new, tmp_path):
    file = tmp_path / "old.flags"
    file.write_text(f"--{old}=1\n")
    for given in (f"--{old}=1", f"--flagfile={file}"):
        with pytest.raises(InputError) as refused:
            options.parse(Renamed, [given])
        assert str(refused.value) == f"--{old}: is called --{new} now."
    with pytest.raises(InputError, match=f"Unknown command line flag '{old}'"):
        options.parse(Recipe, [f"--{old}=1"])


def test_texts_of_a_library_are_those_of_its_docstring():
    found = {flag.name: flag for flag in fields.listed(Recipe())}
    assert found["library_term"].about.text == "Which."
    assert found["library_term"].about.of == ("soft", "hard")
    assert found["library_weight"].about.text == "Of it, in a text of two lines."
    assert found["library_weight"].about.least == 1.0


def test_the_help_says_what_is_allowed_and_what_holds():
    groups = {Recipe: "Baking", Library: "Else"}
    page = usage.page("Does it.\n\nLike this.\n", groups, {"every": 5})
    assert page.startswith("Does it.\n\nLike this.\n\nBaking:\n  --[no]mirrored\n")
    entries = " ".join(page.split())
    for entry in (
        "--[no]mirrored Whether. (default: yes)",
        "--every How often. (at least 1; default: 5)",
        "--share How much. (at least 0; at most 1; default: 0.5)",
        "--changes What. (any of a, b, c; with commas between; default: a,b)",
        "--word Whither. (one of up, down; default: up)",
        "--peer Who. (any of x, y; once for each; default: not given)",
        "--library_weight Of it, in a text of two lines. (at least 1; default: 2.0)",
        "Else: --term Which. (one of soft, hard; default: soft)",
    ):
        assert entry in entries
    assert max(map(len, page.splitlines())) <= 88


def test_flags_that_do_nothing_beside_another_are_refused(monkeypatch):
    known = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", known)
    options.define(Library, heading="Library")
    known(["", "--term=hard", "--weight=2"])
    options.check_used(Library, beside="other", used=("term",))
    options.check_used(Library, beside="term", used=())
    with pytest.raises(InputError, match="--term: has no effect beside --weight; lea"):
        options.check_used(Library, beside="weight", used=("inside",))


@pytest.fixture(scope="module")
def defined():
    """The flags of a process, which stay defined."""
    kept = dict(options.GROUPS)
    names = {name: name for name in options.names(Recipe) if name in flags.FLAGS}
    assert not names, "no application has flags of these names"
    options.define(Recipe, heading="Baking")
    yield
    for name in options.names(Recipe):
        delattr(flags.FLAGS, name)
    options.GROUPS.clear()
    options.GROUPS.update(kept)


def test_effective_flags_repeat_a_run(defined, tmp_path):
    given = [each for each in OTHERS if each != "--changes="]
    with flagsaver.flagsaver():
        flags.FLAGS(["program", *given])
        found = options.read(Recipe)
        application.write_effective_flags(tmp_path, Recipe)
        command = application.command(Recipe, without=("path", "every"))
    assert found == options.parse(Recipe, given) != Recipe()
    file = tmp_path / "effective.flags"
    assert options.parse(Recipe, [f"--flagfile={file}"]) == found
    assert "--share=1.0" in command and "--library_term=hard" in command
    assert "--path" not in command and "--every" not in command


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts that may be left out, but not be empty."""

    path: str | None = options.option(None, "Where.")
    changes: tuple[str, ...] = options.option((), "What.")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--path=", "--path: missing after the =; give a value, or leave the flag out"),
        ("--changes=a,,b", "--changes: missing after the =; give a value, or no comma"),
        ("--path=a\0b", r"--path=a\\x00b: holds a character that no argument can"),
        ("--path=\ud800", r"--path=\\ud800: holds a character"),
        ("--changes=a\0", r"--changes=a\\x00: holds a character"),
    ],
)
def test_texts_that_are_empty_or_no_part_of_a_name_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        options.parse(Texts, [given])


def test_a_name_that_is_no_utf_8_is_a_name():
    assert options.parse(Texts, ["--path=caf\udce9"]).path == "caf\udce9"
    assert options.parse(Texts, ["--changes="]).changes == ()
