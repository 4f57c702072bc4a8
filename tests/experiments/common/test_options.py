"""A dataclass's fields as flags: each kind, its limits, and what is refused."""

import dataclasses
import math

import pytest
from absl import flags

from experiments.common import options
from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the flags here decide."""

    mirrored: bool = options.option(True, "Whether.")
    every: int = options.option(3, "How often.", least=1)
    share: float = options.option(0.5, "How much.", least=0.0, most=1.0)
    weight: float = options.option(1.0, "Of it.")
    kind: str = options.option("one", "Which.", of=("one", "two"))
    path: str = options.option("", "Where.")
    changes: tuple[str, ...] = options.option(("a", "b"), "What.", of=("a", "b", "c"))


@pytest.fixture
def parse(monkeypatch):
    """Returns what the flags given to it make, of flags of its own."""
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    for name in ("bool", "integer", "float", "enum", "string", "list"):
        define = getattr(flags, f"DEFINE_{name}")

        def here(*arguments, define=define, **named):
            define(*arguments, flag_values=values, **named)

        monkeypatch.setattr(flags, f"DEFINE_{name}", here)
    options.define(Recipe, module="the_application")

    def parse(*given):
        values(["program", *given])
        return options.read(Recipe)

    return parse


def test_flags_default_to_the_fields(parse):
    assert parse() == Recipe()
    owned = flags.FLAGS.get_flags_for_module("the_application")
    assert {flag.name for flag in owned} == {f.name for f in dataclasses.fields(Recipe)}


def test_each_kind_is_read_as_its_field_is_typed(parse):
    found = parse(
        *("--nomirrored", "--every=7", "--share=1", "--weight=-2e-3", "--kind=two"),
        *("--path=a b", "--changes=c,a"),
    )
    assert found == Recipe(False, 7, 1.0, -2e-3, "two", "a b", ("c", "a"))
    assert [type(x) for x in dataclasses.astuple(found)] == [
        *(bool, int, float, float, str, str, tuple)
    ]


def test_a_list_may_be_empty_and_is_repeated_by_its_own_words(parse):
    assert parse("--changes=").changes == ()
    for given in ((), ("a",), ("b", "c")):
        flags.FLAGS["changes"].value = list(given)
        assert parse(flags.FLAGS["changes"].serialize()).changes == given


def test_help_says_what_and_which_words(parse):
    parse()
    assert flags.FLAGS["share"].help.startswith("How much.")
    assert flags.FLAGS["changes"].help == "What. Any of a, b, c."


@pytest.mark.parametrize(
    "given",
    ["--every=0", "--every=1.5", "--share=-0.1", "--share=1.1", "--kind=three"]
    + ["--weight=much", "--mirrored=perhaps"],
)
def test_what_no_option_can_mean_is_no_flag(parse, given):
    with pytest.raises(flags.Error):
        parse(given)


def test_a_word_that_is_none_of_a_list_is_refused(parse):
    with pytest.raises(InputError, match=r"^--changes=d: give any of a, b, c, with"):
        parse("--changes=a,d")


@pytest.mark.parametrize("name", ["share", "weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(parse, name, value):
    with pytest.raises((InputError, flags.Error)) as caught:
        parse(f"--{name}={value}")
    assert name in str(caught.value)
