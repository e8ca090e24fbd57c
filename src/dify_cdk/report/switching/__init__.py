"""What CloudFormation does when one template replaces another: rules, unique keys, and the order of steps."""
