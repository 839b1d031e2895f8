"""Lays the files of the chosen framework and problem into the project, and takes those of the others away."""

import shutil
from pathlib import Path

CHOICES = Path("choices")

for choice in ({{ cookiecutter.__package | tojson }}, {{ cookiecutter.framework | string | tojson }}):
    shutil.copytree(CHOICES / choice, ".", dirs_exist_ok=True)
shutil.rmtree(CHOICES)
