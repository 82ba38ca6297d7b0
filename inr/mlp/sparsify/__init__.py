"""Sparsifiers: which weights may be other than zero while a field is fitted."""
