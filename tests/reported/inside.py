"""Runs a module inside a folder: `python -m tests.reported.inside DIR MODULE FLAGS`."""

import os
import runpy
import sys

if __name__ == "__main__":
    _, folder, module, *arguments = sys.argv
    os.chdir(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
