"""Measuring: one family of metrics a file."""
