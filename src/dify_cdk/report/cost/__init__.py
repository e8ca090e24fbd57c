"""What an architecture costs in a month."""
