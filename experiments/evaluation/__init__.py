"""All methods under one protocol: scores, tables, figures, the ablation."""
