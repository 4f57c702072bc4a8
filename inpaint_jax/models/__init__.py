"""Networks, as flax.linen modules; everywhere else they are functions and dicts."""
