"""What holds data: database, cache, bucket and secrets."""
