"""Networks as flax.linen modules; other packages use them as functions and dicts.

A new network is a module with an `Architecture`. The table `KINDS` of
`inpaint_jax/pretrained/networks.py` says how it is stored, and `inpaint_jax/training`
how it learns.
"""
