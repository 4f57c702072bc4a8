"""A page on which one brushes a hole into a photograph and watches the search."""
