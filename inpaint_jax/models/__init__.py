"""Networks as flax.linen modules; other packages use them as functions and dicts."""
