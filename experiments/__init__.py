"""Applications: flags in, library calls, files out."""
