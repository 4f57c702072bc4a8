"""What all applications share: flags, errors, reports, progress."""
