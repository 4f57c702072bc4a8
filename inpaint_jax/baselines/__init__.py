"""Classical methods of image completion, baselines for the search; one module each.

A new baseline is a module with `complete(image, mask)`; in experiments/evaluation
`baseline_methods.py` makes it a method, and `completion_methods.py` names it.
"""
