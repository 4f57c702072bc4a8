"""Scores of completed images, and of sets of generated images."""
