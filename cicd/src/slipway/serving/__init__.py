"""Serves a project's model the way SageMaker asks: GET /ping and POST /invocations."""

from slipway.serving.app import Model, create_app

__all__ = ["Model", "create_app"]
