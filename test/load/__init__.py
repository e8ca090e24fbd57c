"""Many apps, to find combinations that nobody thought of."""
