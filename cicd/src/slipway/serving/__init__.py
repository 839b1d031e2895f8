"""Serves a project's model the way SageMaker asks: at an endpoint, and in a batch transform job."""

from slipway.serving.app import Model, create_app

__all__ = ["Model", "create_app"]
