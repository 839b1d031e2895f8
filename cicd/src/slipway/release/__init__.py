"""From an approved model to what serves: the release bundle, the templates' configuration, and the smoke test."""
