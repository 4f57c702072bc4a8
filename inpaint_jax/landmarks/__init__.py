"""The 68 points of a face: where they are, and what finds them."""
