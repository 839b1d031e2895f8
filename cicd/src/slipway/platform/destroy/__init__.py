"""Removes a platform from an account: what its stacks made, what they retain, and what was made beside them.

Nothing is remembered between runs: each stage looks for what there is, so that an interrupted run is taken up by the
next and a second run finds nothing. What belongs to the platform is told by its tag `Namespace`, and by its name where
AWS gives it no tags.
"""
