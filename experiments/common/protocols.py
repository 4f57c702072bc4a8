"""Protocol files: record what determines a run's results, to check a resumed run."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from inpaint_jax.errors import InputError
from inpaint_jax.io import files

_SHOWN, _LENGTH = 4, 60
_MEASURED, _NOTED = "measured", "environment"


def agree(
    path: pathlib.Path,
    protocol: dict[str, Any],
    *,
    environment: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
    results: pathlib.Path,
) -> dict[str, Any]:
    """Writes a protocol, or checks it against the protocol of an earlier start.

    Args:
      path: the JSON file; its folder must exist.
      protocol: everything known in advance that determines the results.
      environment: stored as well, but never compared.
      measure: returns measurements; called only at the first start.
      results: file of the results, which must not exist without their protocol.

    Returns:
      The measurements of the first start.

    Raises:
      InputError: the file holds another protocol, or none.
    """
    ours = _as_json(protocol)
    if not path.exists():
        _check_absent(results, path)
        measured = measure()
        content = ours | {_MEASURED: measured, _NOTED: environment}
        files.write_json(path, content)
        return measured
    with _read(path) as theirs:
        measured, _ = theirs.pop(_MEASURED), theirs.pop(_NOTED)
    _refuse(path, _differences(theirs, ours))
    return measured


def extend(
    path: pathlib.Path, protocol: dict[str, dict[str, Any]], *, results: pathlib.Path
) -> None:
    """Adds entries to a protocol; entries that exist must not change.

    Args:
      path: the JSON file; its folder must exist.
      protocol: {group: {name: values that determine the results of this name}}.
      results: as in `agree`.

    Raises:
      InputError: an entry has changed, or the file is no protocol.
    """
    ours, theirs = _as_json(protocol), {}
    if path.exists():
        with _read(path) as theirs:
            theirs = {group: theirs[group] for group in ours}
    else:
        _check_absent(results, path)
    known = {
        group: {name: value for name, value in entries.items() if name in ours[group]}
        for group, entries in theirs.items()
    }
    there = {
        group: {name: ours[group][name] for name in known[group]} for group in known
    }
    _refuse(path, _differences(known, there))
    files.write_json(
        path, {g: theirs.get(g, {}) | entries for g, entries in ours.items()}
    )


def _check_absent(results: pathlib.Path, path: pathlib.Path) -> None:
    if results.exists():
        raise InputError(
            f"{results}: holds results without their protocol ({path.name}), so nobody "
            "can say of what; move it away or give another --output_dir."
        )


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(files.finite(value)))


@contextlib.contextmanager
def _read(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path}: not a protocol of a run ({error}); give another --output_dir."
        ) from error


def _refuse(path: pathlib.Path, differences: Iterator[str]) -> None:
    found = list(differences)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError(
            f"--output_dir={path.parent}: holds a run of another protocol: "
            f"{'; '.join(found[:_SHOWN])}{more}; give another folder."
        )


def _differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys([*theirs, *ours]):
            inside = f"{path}.{name}" if path else name
            yield from _differences(theirs.get(name), ours.get(name), inside)
    elif theirs != ours:
        yield f"{path} was {_short(theirs)} and is {_short(ours)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."
