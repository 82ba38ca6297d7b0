"""Entropy coders: lists of integer code tensors to bytes and back, exactly; numpy only."""
