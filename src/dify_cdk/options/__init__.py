"""What a caller chooses: frozen value objects that check themselves. Imports no CDK."""
