"""Applications that run the library with options from flags, and write files."""

import sys

from experiments.common import stopping

# While `python -m` looks for an application, which then imports for seconds.
if sys.argv[:1] == ["-m"]:
    stopping.watch()
