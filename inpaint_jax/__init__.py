"""Structurally and semantically coherent face completion with JAX."""

__version__ = "0.1.0"
