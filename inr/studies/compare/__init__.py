"""Recipes beside classical codecs: `inr compare`."""
