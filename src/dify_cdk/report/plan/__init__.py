"""What a deployment would keep, replace, lose or refuse."""
