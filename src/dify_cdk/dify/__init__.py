"""What Dify is: its components, routes, variables and limits. Imports no CDK."""
