"""Serves a page on which one brushes a hole into a photograph and watches the search.

python -m experiments.web --open

The page is for this machine alone unless --host says otherwise. It keeps photographs in
memory, and forgets them 15 minutes after the last request.
"""

import dataclasses
import functools
import webbrowser
from collections.abc import Callable

from experiments.common import application, options, output_folders, progress, stopping
from experiments.common.options import option
from experiments.evaluation import completion_methods
from experiments.page import choices, engines, jobs, keeping, serving, sessions
from experiments.search import searches


@dataclasses.dataclass(frozen=True)
class Web:
    """Where the page is, and what it may take."""

    host: str = option("127.0.0.1", "Address to listen at; 0.0.0.0 for all of them.")
    port: int = option(
        8008, "Port to listen at; 0 for a free one.", least=0, most=65535
    )
    names: tuple[str, ...] = option(
        (),
        "Further names by which browsers reach the page, with their port unless it is "
        "usual, as faces.example.org behind a reverse proxy.",
    )
    open: bool = option(False, "Open the page in the browser.")
    keep: str | None = option(
        None, "Folder in which finished searches are kept; by default none is."
    )
    most_megapixels: int = option(
        25, "Largest photograph, in megapixels.", least=1, most=50
    )
    most_waiting: int = option(
        16, "Number of searches that may wait.", least=1, most=1000
    )
    most_photographs: int = option(
        16, "Number of photographs in memory.", least=1, most=1000
    )
    most_steps: int = option(
        100_000, "Largest product of restarts and steps of a search.", least=1
    )
    most_seconds: float = option(
        600.0, "Seconds that a search may take.", above=0.0, most=1_000_000
    )


options.define(Web, heading="Page")


def main() -> int:
    """Serves the page until a signal comes."""
    wanted = options.read(Web)
    serving.check_available()
    learned = options.read(completion_methods.Learned)
    bank = learned.bank is not None
    offered = choices.Choices(most_steps=wanted.most_steps, bank=bank)
    engine = engines.Engine(searches.load(), learned)
    if wanted.keep is None:
        return _serve(wanted, offered, engine, keep=None)
    with output_folders.claim(wanted.keep, flag="keep") as folder:
        keep = functools.partial(keeping.keep, folder=folder)
        return _serve(wanted, offered, engine, keep=keep)


def _serve(
    wanted: Web,
    offered: choices.Choices,
    engine: engines.Engine,
    *,
    keep: Callable[[keeping.Kept], None] | None,
) -> int:
    from experiments.page import server  # needs what --web installs

    parts = server.Parts(
        engine,
        offered,
        jobs.Queue(most=wanted.most_waiting, seconds=wanted.most_seconds),
        sessions.Sessions(most=wanted.most_photographs),
        wanted.most_megapixels * 1_000_000,
        keep,
    )
    with serving.listening(wanted.host, wanted.port) as (socket, address):
        progress.say(f"look at {address}; Ctrl-C ends it")
        if wanted.open:
            webbrowser.open(address)
        serving.serve(server.app(parts), socket, names=wanted.names)
    stopping.check()
    return 0


if __name__ == "__main__":
    application.run(main)
