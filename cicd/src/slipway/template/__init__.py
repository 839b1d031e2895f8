"""The seed code as a versioned template: what a project was stamped from, and how it follows later versions (cruft)."""
