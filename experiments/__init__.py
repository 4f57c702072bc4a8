"""Applications that run the library with options from flags, and write files."""
