"""Splits: from a picture to the bands that fields are fitted to."""
