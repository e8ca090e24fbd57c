"""Draws an architecture as a picture."""
