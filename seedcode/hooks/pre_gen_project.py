"""Refuses answers that a project could not live with, each by its name."""

import re
import sys

ANSWERS = {
    "project": (
        {{ cookiecutter.project | string | tojson }},
        r"[a-z][a-z0-9-]{1,22}[a-z0-9]",
        "3 to 24 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    ),
    "description": (
        {{ cookiecutter.description | string | tojson }},
        r"[^\x00-\x1f\"\\{}]{1,256}",
        "one line of 1 to 256 characters without quotation marks, backslashes and curly brackets",
    ),
    "dataset": (
        {{ cookiecutter.dataset | string | tojson }},
        r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*",
        "lower-case letters, digits, hyphens and underscores, in parts divided by single slashes",
    ),
    "owner": (
        {{ cookiecutter.owner | string | tojson }},
        r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}",
        "1 to 63 letters, digits, spaces and the signs . _ @ -",
    ),
}

FRAMEWORK = {{ cookiecutter.framework | string | tojson }}
PROBLEM = {{ cookiecutter.__problem | string | tojson }}
TABLES = ("regression", "binary-classification", "multiclass-classification")
FITTING = {
    "scikit-learn": (*TABLES, "text-classification"),
    "xgboost": TABLES,
    "tensorflow": TABLES,
    "huggingface": ("text-classification",),
}
REASONS = {
    "xgboost": "trees take columns of numbers and categories, not text",
    "tensorflow": "text is read best by a language model; huggingface has one",
    "huggingface": "its models read text, not tables",
}

bad = [
    f"{name}: given {value!r}, allowed {allowed}"
    for name, (value, pattern, allowed) in ANSWERS.items()
    if not re.fullmatch(pattern, value)
]
if PROBLEM not in FITTING[FRAMEWORK]:
    bad.append(
        f"framework and problem: given {FRAMEWORK} for {PROBLEM}, but {REASONS[FRAMEWORK]}; "
        f"allowed for {FRAMEWORK}: {', '.join(FITTING[FRAMEWORK])}; "
        f"allowed for {PROBLEM}: {', '.join(name for name in FITTING if PROBLEM in FITTING[name])}"
    )
if bad:
    sys.exit("\n".join(bad))
