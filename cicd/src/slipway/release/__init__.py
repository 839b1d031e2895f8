"""From an approved model to an endpoint: the release bundle, the templates' configuration, and the smoke test."""
