"""Applications that run the library with options from flags, and write files."""

import os
import sys

from experiments.common import stopping

# What XLA writes to stderr on a failure hides the sentence that says what to do. The
# libraries read this when they are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# While `python -m` looks for an application, which then imports for seconds.
if sys.argv[:1] == ["-m"]:
    stopping.watch()
