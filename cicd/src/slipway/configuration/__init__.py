"""The project configuration file: its model, how it is read, and what is generated from it."""

from slipway.configuration.load import load, loads
from slipway.configuration.model import METRICS, ProjectFile

__all__ = ["METRICS", "ProjectFile", "load", "loads"]
