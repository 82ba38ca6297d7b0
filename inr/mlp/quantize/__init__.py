"""Quantizers: from float weights to integer codes and back."""
