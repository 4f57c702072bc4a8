"""Classical completions that the search is compared with."""
