"""Runs an application, the first argument, as if matplotlib were not installed."""

import runpy
import sys

if __name__ == "__main__":
    sys.modules["matplotlib"] = None
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
