"""What an architecture really supports."""
