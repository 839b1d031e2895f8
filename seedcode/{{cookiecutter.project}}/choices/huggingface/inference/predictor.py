{% from "words.jinja" import answers, says with context %}
"""The model behind the endpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from {{ cookiecutter.__package }} import columns

# Tokens of a text that are read, and texts that are read at once.
LONGEST = 128
BATCH = 64


class {{ cookiecutter.__class }}:
    """{{ says }}"""

    columns = columns.KINDS

    def __init__(self, model, tokenizer) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """{{ answers }}"""
        texts = [text or "" for text in values[columns.TEXT]]
        # Texts of like length are read together: padding costs as much as words do.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        answers = [0.0] * len(texts)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            tokens = self.tokenizer(
                [texts[place] for place in places],
                truncation=True,
                max_length=LONGEST,
                padding=True,
                return_tensors="pt",
            ).to(self.device)
            chances = self.model(**tokens).logits.softmax(dim=1)[:, 1].tolist()
            for place, chance in zip(places, chances, strict=True):
                answers[place] = chance
        return answers


def load(folder: Path) -> {{ cookiecutter.__class }}:
    """The model and the tokenizer that training wrote to `folder`."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return {{ cookiecutter.__class }}(model, tokenizer)
