"""What an architecture really carries."""
