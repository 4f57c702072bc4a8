"""Searches as flags ask for them: settings, landmark targets, budgets."""
