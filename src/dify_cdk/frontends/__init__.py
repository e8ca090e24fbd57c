"""Where users enter: one module for each frontend."""
