"""Latent grids: a pyramid of integers and the small networks that code and draw it."""
