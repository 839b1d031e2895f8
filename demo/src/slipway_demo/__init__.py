"""The demonstration: the local cloud, the platform, and people who use it."""
