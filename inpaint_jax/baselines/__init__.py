"""Classical completions that the search is compared with, one module each.

A new one is a module with `complete(image, mask)`; experiments/evaluation/programs.py
makes it a method, and experiments/evaluation/systems.py gives it its name.
"""
