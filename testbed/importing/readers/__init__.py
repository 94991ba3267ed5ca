"""Texts in, values out: one module for each format."""
