"""Checks of the templates: what CloudFormation, checkov and parliament know, and what only this repository knows."""
