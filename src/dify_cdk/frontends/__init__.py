"""The ways in to Dify, one module each; the constructs are exported by ``dify_cdk``."""
