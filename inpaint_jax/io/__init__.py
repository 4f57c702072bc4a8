"""What is on disk: files, sources of pictures, sets of faces, checkpoints."""
