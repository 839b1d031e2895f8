"""The scenarios of .taskcat.yml: what they need, and a run of them in a local cloud."""
