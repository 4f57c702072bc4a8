"""Trains, evaluates and releases networks."""
