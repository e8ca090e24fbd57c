"""What frontends are made of; frontends never import one another."""
