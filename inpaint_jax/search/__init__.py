"""The search: z that fits the visible, looks real and has its landmarks in place."""
