"""What Slipway's builds, Lambda functions and SageMaker jobs run."""

__version__ = "0.1.0"
