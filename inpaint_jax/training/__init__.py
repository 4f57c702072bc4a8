"""Training steps of all networks: state in, state out."""
