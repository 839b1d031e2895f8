"""Fits the model: a small ModernBERT, begun at random and taught by these reviews alone.

Nothing is fetched from a hub. To begin from a model that has read more, put its files into the
training image and load them in `network`. To make this one larger, raise `width`, `layers` and
`epochs` in project.yaml, and choose an instance with a GPU.

Where SageMaker keeps checkpoints, every epoch is one, and an interrupted job goes on from the
newest. A GPU is used where there is one.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from slipway import container, evaluation
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithPadding,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

import predictor
from food_reviews import columns

HYPERPARAMETERS = {
    "learning_rate": 0.001,
    "epochs": 2,
    "batch_size": 32,
    "vocabulary": 3000,
    "width": 64,
    "layers": 2,
    "dropout": 0.3,
    "seed": 2013,
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Reviews(Dataset):
    """Texts as token numbers, each with its label."""

    def __init__(self, rows: pd.DataFrame, target: str, tokenizer: PreTrainedTokenizerFast) -> None:
        texts = rows[columns.TEXT].fillna("").tolist()
        self.tokens = tokenizer(texts, truncation=True, max_length=predictor.LONGEST)["input_ids"]
        self.labels = rows[target].astype(int).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> dict:
        return {"input_ids": self.tokens[place], "labels": self.labels[place]}


def train(paths: container.Paths) -> None:
    """Read the train and validation rows, fit, and write the model and its tokenizer."""
    target, problem = container.target(), container.problem()
    parts = {name: columns.read(paths.channel(name)) for name in ("train", "validation")}
    chosen = container.choose(HYPERPARAMETERS, paths.hyperparameters())
    set_seed(chosen["seed"])
    tokenizer = words(parts["train"][columns.TEXT].fillna("").tolist(), chosen["vocabulary"])
    data = {name: Reviews(rows, target, tokenizer) for name, rows in parts.items()}
    with tempfile.TemporaryDirectory() as folder:
        kept = paths.checkpoints or Path(folder)
        trainer = Trainer(
            network(chosen, tokenizer),
            arguments(chosen, kept),
            train_dataset=data["train"],
            eval_dataset=data["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
        )
        trainer.train(resume_from_checkpoint=get_last_checkpoint(kept))
        trainer.save_model(paths.model)
    tokenizer.save_pretrained(paths.model)
    print(f"{chosen['epochs']} epochs on {len(parts['train'])} rows")
    served = predictor.load(paths.model)
    for name, rows in parts.items():
        evaluation.announce(name, problem, rows[target], evaluation.ask(served, rows))


def words(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the pieces of words that these texts are made of."""
    # Pairs of bytes and not WordPiece, whose vocabulary differs from one training to the next.
    pieces = Tokenizer(models.BPE(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    teacher = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator(texts, teacher)
    ends = [(name, pieces.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        model_max_length=predictor.LONGEST,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def network(
    chosen: dict[str, container.Scalar], tokenizer: PreTrainedTokenizerFast
) -> ModernBertForSequenceClassification:
    """The network, with random weights; what it answers by is the mean of all words."""
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=chosen["width"],
        num_hidden_layers=chosen["layers"],
        num_attention_heads=4,
        intermediate_size=chosen["width"] * 2,
        max_position_embeddings=predictor.LONGEST,
        classifier_pooling="mean",
        embedding_dropout=chosen["dropout"],
        mlp_dropout=chosen["dropout"],
        classifier_dropout=chosen["dropout"],
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        num_labels=2,
    )
    return ModernBertForSequenceClassification(config)


def arguments(chosen: dict[str, container.Scalar], folder: Path) -> TrainingArguments:
    """How the network is taught: the epoch that is best on the validation rows is kept."""
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=chosen["epochs"],
        learning_rate=chosen["learning_rate"],
        per_device_train_batch_size=chosen["batch_size"],
        per_device_eval_batch_size=predictor.BATCH,
        # Texts of like length are learnt together: padding costs as much as words do.
        train_sampling_strategy="group_by_length",
        warmup_steps=50,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        logging_steps=50,
        seed=chosen["seed"],
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def accuracy(found) -> dict[str, float]:
    """Share of the texts that are answered right."""
    return {"accuracy": float(np.mean(found.predictions.argmax(axis=1) == found.label_ids))}


if __name__ == "__main__":
    container.run(train)
