"""Searches for the latent vector whose face fits the known pixels and the landmarks."""
