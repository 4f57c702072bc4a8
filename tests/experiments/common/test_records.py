"""A table of scores that a killed run goes on with."""

import math

import numpy as np
import pytest

from experiments.common import records
from inpaint_jax.errors import InputError

COLUMNS, KEYS = ("method", "image", "psnr", "nme"), ("method", "image")


def opened(path):
    return records.Table(path, columns=COLUMNS, keys=KEYS)


@pytest.fixture
def path(tmp_path):
    table = opened(tmp_path / "scores.csv")
    table.append(method="tv", image="a", psnr=21.5, nme=math.nan)
    table.append(method="tv", image='b, "c"', psnr=math.inf, nme=0.1)
    return tmp_path / "scores.csv"


def test_rows_come_back_as_they_were(path):
    first, second = opened(path).rows()
    assert first["psnr"] == 21.5 and math.isnan(first["nme"])
    assert second == {"method": "tv", "image": 'b, "c"', "psnr": math.inf, "nme": 0.1}


def test_it_knows_what_is_there(path):
    table = opened(path)
    assert (
        table.has("tv", "a") and not table.has("tv", "c") and not table.has("lr", "a")
    )


def test_the_file_is_a_table_for_everyone(path):
    assert path.read_text().splitlines() == [
        "method,image,psnr,nme",
        "tv,a,21.5,nan",
        'tv,"b, ""c""",inf,0.1',
    ]


def test_a_line_cut_off_in_the_middle_is_dropped(path):
    whole = path.read_text()
    path.write_text(whole + "lr,a,2")
    table = opened(path)
    assert len(table.rows()) == 2
    table.append(method="lr", image="a", psnr=2.5, nme=1.0)
    assert path.read_text() == whole + "lr,a,2.5,1\n"


def test_a_row_that_is_dropped_is_missing_until_it_is_added_again(path):
    table = opened(path)
    table.drop("tv", "a")
    assert not table.has("tv", "a") and len(table.rows()) == 1
    table.append(method="lr", image="a", psnr=1.0, nme=0.5)
    assert [row["method"] for row in opened(path).rows()] == ["tv", "lr"]
    table.append(method="tv", image="a", psnr=2.0, nme=0.5)
    assert opened(path).row("tv", "a")["psnr"] == 2.0


def test_a_reopened_table_goes_on(path):
    opened(path).append(method="lr", image="a", psnr=1.0, nme=0.5)
    assert [row["method"] for row in opened(path).rows()] == ["tv", "tv", "lr"]


def test_numbers_are_those_that_a_later_start_reads(path):
    table = opened(path)
    table.append(method="lr", image="a", psnr=1 / 3, nme=np.float32(0.1))
    assert table.rows()[-1] == opened(path).rows()[-1]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "method,image,psnr,nme\ntv,a,x,1\n"])
def test_another_table_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(InputError, match=r"scores\.csv"):
        opened(path)
    assert path.read_text() == text
