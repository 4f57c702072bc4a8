"""Classical methods of image completion, baselines for the search; one module each.

A new baseline is a module with `complete(image, mask)`; experiments/evaluation has
`programs.py`, which makes it a method, and `completion_methods.py`, which names it.
"""
