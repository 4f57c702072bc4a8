"""What decides the results in a folder, so that a run goes on or is refused."""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from inpaint_jax import files
from inpaint_jax.errors import InputError

_SHOWN, _LENGTH = 4, 60
_MEASURED, _NOTED = "measured", "environment"


def agree(
    path: pathlib.Path,
    protocol: dict[str, Any],
    *,
    environment: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Writes a protocol, or checks it against that of an earlier start.

    Args:
      path: the JSON file; its folder must exist.
      protocol: all that decides the results and is known before.
      environment: written beside it, and never compared.
      measure: what is measured once and holds for later starts.

    Returns:
      What was measured, now or then.

    Raises:
      InputError: the file holds another protocol, or is none.
    """
    ours = json.loads(json.dumps(files.finite(protocol)))
    if not path.exists():
        measured = measure()
        content = ours | {_MEASURED: measured, _NOTED: environment}
        files.write_json(path, content)
        return measured
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        measured, _ = theirs.pop(_MEASURED), theirs.pop(_NOTED)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path}: not a protocol of a run ({error}); give another --output_dir."
        ) from error
    found = list(_differences(theirs, ours))
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError(
            f"--output_dir={path.parent}: holds a run of another protocol: "
            f"{'; '.join(found[:_SHOWN])}{more}; give another folder."
        )
    return measured


def _differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys([*theirs, *ours]):
            inside = f"{path}.{name}" if path else name
            yield from _differences(theirs.get(name), ours.get(name), inside)
    elif theirs != ours:
        yield f"{path} was {_short(theirs)} and is {_short(ours)}"


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."
