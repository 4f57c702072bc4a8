"""Convolutions in the forms that XLA runs well, each equal to a plain form."""
