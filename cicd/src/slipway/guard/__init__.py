"""Judges what was made in SageMaker: what is not in the VPC and under its project's key is stopped and reported."""
