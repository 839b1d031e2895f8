"""Brings a platform into an account: packs the repository, uploads it, deploys the stacks, fills the registries."""
