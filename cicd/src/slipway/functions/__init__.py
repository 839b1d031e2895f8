"""Lambda handlers: a few lines each, over the same functions that builds call. No compiled dependency is imported."""
