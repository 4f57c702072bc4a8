"""Searches for the latent vector of a real-looking face that fits the known pixels."""
