"""Trained networks, from releases and training runs, and as other formats."""
