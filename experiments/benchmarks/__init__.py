"""Measures the speed of searches, training, landmarks and blending."""
