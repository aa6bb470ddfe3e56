"""Recorded pages of public APIs, shortened by hand, and what plays them back."""
