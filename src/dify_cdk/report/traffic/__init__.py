"""Follows requests through templates."""
