"""What works in the background, and how every component becomes a task and a service."""
