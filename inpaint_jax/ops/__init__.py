"""Convolutions in the forms that XLA runs fast, each equal to XLA's plain form."""
