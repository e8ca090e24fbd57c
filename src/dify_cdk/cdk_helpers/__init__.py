"""What constructs need of the CDK: custom resources, acknowledgements, prefix lists, assets."""
