"""Searches configured by flags: settings, landmark targets, budgets, reports."""
