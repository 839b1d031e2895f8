"""What the steps of the project share."""
