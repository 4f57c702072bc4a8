"""Code that all applications share: flags, errors, reports, progress."""
