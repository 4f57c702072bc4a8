"""Reads and writes files: pictures, sources of pictures, data sets, checkpoints."""
