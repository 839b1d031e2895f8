"""Measures a model on rows that it has not seen, and writes what people and SageMaker read of it.

A project's evaluate.py calls these functions; they need the extra `slipway[evaluation]`.
"""

from slipway.evaluation.asking import ask
from slipway.evaluation.baseline import constraints, statistics, write_baseline
from slipway.evaluation.metrics import announce, measure
from slipway.evaluation.result import Evaluation, evaluate, write_json

__all__ = [
    "Evaluation",
    "announce",
    "ask",
    "constraints",
    "evaluate",
    "measure",
    "statistics",
    "write_baseline",
    "write_json",
]
