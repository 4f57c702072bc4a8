"""Protocol files: record what determines a run's results, to check a resumed run."""

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from absl import flags

from inpaint_jax.errors import InputError
from inpaint_jax.io import files, json_files

_SHOWN, _LENGTH = 4, 60
_MEASURED, _NOTED = "measured", "environment"


def agree(
    path: pathlib.Path,
    protocol: dict[str, Any],
    *,
    environment: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
    results: pathlib.Path,
    kind: Any = dict,
) -> dict[str, Any]:
    """Writes a protocol, or checks it against the protocol of an earlier start.

    Args:
      path: the JSON file; its folder must exist.
      protocol: everything known in advance that determines the results.
      environment: stored as well, but never compared.
      measure: returns measurements; called only at the first start.
      results: file of the results, which must not exist without their protocol.
      kind: type of the measurements.

    Returns:
      The measurements of the first start.

    Raises:
      InputError: the file holds another protocol, or none.
    """
    ours = _as_json(protocol)
    if not os.path.exists(path):
        _check_absent(results, path)
        measured = measure()
        content = ours | {_MEASURED: measured, _NOTED: environment}
        files.write_json(path, content)
        return measured
    theirs = _read(path, names=(_MEASURED, _NOTED))
    measured, _ = theirs.pop(_MEASURED), theirs.pop(_NOTED)
    try:
        measured = msgspec.convert(measured, kind)
    except ValueError as error:
        raise InputError(
            f"{path}: not a protocol of a run ({_MEASURED}: {error}); give another "
            "--output_dir."
        ) from error
    _refuse(path, _differences(theirs, ours))
    return measured


def extend(
    path: pathlib.Path, protocol: dict[str, dict[str, Any]], *, results: pathlib.Path
) -> dict[str, dict[str, Any]]:
    """Adds entries to a protocol; entries that exist must not change.

    Args:
      path: the JSON file; its folder must exist.
      protocol: {group: {name: values that determine the results of this name}}.
      results: as in `agree`.

    Returns:
      The entries before, which are those that results of earlier starts may have.

    Raises:
      InputError: an entry has changed, or the file is no protocol.
    """
    ours, theirs = _as_json(protocol), {}
    if os.path.exists(path):
        theirs = _read(path, names=ours, kind=dict[str, dict[str, Any]])
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
    return theirs


def _check_absent(results: pathlib.Path, path: pathlib.Path) -> None:
    if os.path.exists(results):
        raise InputError(
            f"{results}: holds results without their protocol ({path.name}), so nobody "
            "can say of what; move it away or give another --output_dir."
        )


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(files.finite(value)))


def _read(
    path: pathlib.Path, *, names: Iterable[str], kind: Any = dict[str, Any]
) -> Any:
    """Reads a protocol, which must have entries of these names."""
    expected, give = "a protocol of a run", "give another --output_dir"
    found = json_files.read(path, kind, expected=expected, give=give)
    for name in names:
        if name not in found:
            raise InputError(f"{path}: not {expected} ({name} is missing); {give}.")
    return found


class _Difference(NamedTuple):
    name: str
    theirs: Any
    ours: Any

    @property
    def flag(self) -> str | None:
        """The argument that gives the old value again; None if no flag has the name."""
        known = self.name.removeprefix("frame.")  # a method's settings are its own
        if known not in flags.FLAGS or type(self.theirs) not in (int, float, str):
            return None
        return f"--{known}={self.theirs}"


def _refuse(path: pathlib.Path, differences: Iterator[_Difference]) -> None:
    found = list(differences)
    if found:
        shown = [
            f"{name} was {_short(theirs)} and is {_short(ours)}"
            for name, theirs, ours in found[:_SHOWN]
        ]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        again = [each.flag for each in found if each.flag]
        same = " ".join(again) if len(again) == len(found) <= _SHOWN else "the same"
        raise InputError(
            f"--output_dir={path.parent}: holds a run of another protocol: "
            f"{'; '.join(shown)}{more}; give {same} again, or another folder."
        )


def _differences(theirs: Any, ours: Any, path: str = "") -> Iterator[_Difference]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys([*theirs, *ours]):
            inside = f"{path}.{name}" if path else name
            yield from _differences(theirs.get(name), ours.get(name), inside)
    elif theirs != ours:
        yield _Difference(path, theirs, ours)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."
