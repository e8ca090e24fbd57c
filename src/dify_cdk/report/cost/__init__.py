"""What single resources cost: one module per service, each with its rules by resource type."""
