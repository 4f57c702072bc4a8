"""Runs situations that users of such tools reported, and tells what came out.

    python -m tests.reported_cases --folder=DIR [--only=02,03] [--work=DIR]

DIR has a folder for each case of `tests.reported.table`, with a `make.py` that makes
its inputs from the faces in --data. Prints a table in Markdown; a case is right if all
that is checked holds. `tests.reported` has the checks.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
import traceback

from tests.experiments import launcher
from tests.reported import running, table


def main() -> int:
    """Runs the cases that are asked for; returns 1 if one came out wrong."""
    asked = _asked()
    wanted = asked.only.split(",") if asked.only else None
    work = pathlib.Path(asked.work or tempfile.mkdtemp(prefix="cases")).absolute()
    source = pathlib.Path(asked.folder).absolute()
    programs = work / "programs"
    programs.mkdir(parents=True, exist_ok=True, mode=0o700)
    print("| case | what must come out | right/wrong | what was seen | test |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    wrong = 0
    with contextlib.ExitStack() as stack:
        forked = None
        if asked.forked:
            forked = stack.enter_context(launcher.started({**os.environ}))
        for reported in table.CASES:
            if wanted and reported.folder.partition("-")[0] not in wanted:
                continue
            case = running.Case(
                source=source / reported.folder,
                here=work / reported.folder,
                data=pathlib.Path(asked.data or source.parent / "data").absolute(),
                programs=programs,
                torch=asked.torch,
                two_eyes=asked.two_eyes,
                forked=forked,
            )
            verdict, seen = _judged(reported, case)
            wrong += verdict == "wrong"
            cells = (reported.folder, reported.goal, verdict, seen, reported.test)
            print("|", " | ".join(_cell(text, work) for text in cells), "|", flush=True)
    return int(wrong > 0)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, help="folder of the cases")
    parser.add_argument("--only", help="their numbers, with commas between")
    parser.add_argument("--work", help="folder to run in; by default a new one")
    parser.add_argument("--data", help="faces; by default ../data from --folder")
    parser.add_argument(
        "--forked",
        action="store_true",
        help="start applications in processes that have imported them, which is faster",
    )
    parser.add_argument("--two_eyes", type=int, help="faces of 07 with two eyes")
    parser.add_argument("--torch", help="a Python that has PyTorch, for 18 and 24")
    return parser.parse_args()


def _judged(reported: table.Reported, case: running.Case) -> tuple[str, str]:
    """Runs a case; returns whether it is right, and what was seen."""
    checks = []
    try:
        case.copy()
        checks += reported.run(case)
    except running.NotRun as error:
        return "not judged", str(error)
    except Exception:
        # What a case leaves out, as a picture that is not there, is wrong as well.
        traceback.print_exc()
        checks.append(running.Check(False, traceback.format_exc().splitlines()[-1]))
    right = all(check.holds for check in checks)
    seen = (x.seen if x.holds else f"**{x.seen}**" for x in checks)
    return "right" if right else "wrong", "; ".join(seen)


def _cell(text: str, work: pathlib.Path) -> str:
    """Returns a text as a cell, without the path of the folder of this run."""
    return text.replace(f"{work}/", "").replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
