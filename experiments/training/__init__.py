"""How networks are trained, judged and released."""
