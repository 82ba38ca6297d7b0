"""Coordinate networks: from a point of the picture to its colour."""
