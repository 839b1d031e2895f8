"""The platform's templates, deployed, updated and deleted in a local cloud of their own."""
