"""Evaluates all methods by one protocol: scores, tables, figures, the ablation."""
