"""What connects to what in an architecture, read from its templates; ``reader`` is the way in."""
