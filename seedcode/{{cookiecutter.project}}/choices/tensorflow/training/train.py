{% set digits = cookiecutter.__package == "digits" %}
{% if digits %}
"""Fits the model: a small convolutional network.
{% else %}
"""Fits the model: a small network over scaled numbers and embedded categories.
{% endif %}

Where SageMaker keeps checkpoints, every epoch is one, and an interrupted job goes on from the
newest. A GPU is used where there is one.
"""

import keras
{% if not digits %}
import pandas as pd
{% endif %}
import tensorflow as tf
from slipway import container, evaluation

import predictor
from {{ cookiecutter.__package }} import columns

# This many epochs without progress on the validation rows end the training.
PATIENCE = {{ 8 if digits else 4 }}
HYPERPARAMETERS = {
    "learning_rate": {{ "0.002" if digits else "0.001" }},
    "epochs": {{ 40 if digits else 12 }},
    "batch_size": {{ 64 if digits else 256 }},
    "units": 64,
    "dropout": {{ "0.3" if digits else "0.1" }},
    "seed": 2013,
}


def train(paths: container.Paths) -> None:
    """Read the train and validation rows, fit, and write the SavedModel."""
    target, problem = container.target(), container.problem()
    parts = {name: columns.read(paths.channel(name)) for name in ("train", "validation")}
    chosen = container.choose(HYPERPARAMETERS, paths.hyperparameters())
    keras.utils.set_random_seed(chosen["seed"])
    tf.config.experimental.enable_op_determinism()
    features = {name: predictor.inputs(rows) for name, rows in parts.items()}
    model = build({% if not digits %}parts["train"], {% endif %}{% if cookiecutter.__problem == "regression" %}target, {% endif %}chosen)
    callbacks = [
        keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
        keras.callbacks.LambdaCallback(on_epoch_end=tell),
    ]
    if paths.checkpoints is not None:
        kept = str(paths.checkpoints / "keras")
        callbacks.append(keras.callbacks.BackupAndRestore(kept, delete_checkpoint=False))
    history = model.fit(
        features["train"],
        parts["train"][target].to_numpy("float32"),
        validation_data=(features["validation"], parts["validation"][target].to_numpy("float32")),
        epochs=chosen["epochs"],
        batch_size=chosen["batch_size"],
        callbacks=callbacks,
        verbose=0,
    )
    print(f"{len(history.epoch)} epochs on {len(parts['train'])} rows")
    model.export(str(paths.model), verbose=False)
    served = predictor.load(paths.model)
    for name, rows in parts.items():
        evaluation.announce(name, problem, rows[target], evaluation.ask(served, rows))


def tell(epoch: int, logs: dict[str, float]) -> None:
    """A line an epoch: training and validation loss."""
    train, validation = logs["loss"], logs["val_loss"]
    print(f"epoch {epoch + 1}: loss {train:.4f}, of validation rows {validation:.4f}", flush=True)


{% if digits %}
def build(chosen: dict[str, container.Scalar]) -> keras.Model:
    """The network, ready to fit."""
    side, units = columns.SIDE, chosen["units"]
    pixels = keras.Input((len(columns.FEATURES),), name="pixels")
    image = keras.layers.Reshape((side, side, 1))(pixels / columns.BRIGHTEST)
    for filters in (units // 2, units):
        image = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(image)
    image = keras.layers.MaxPooling2D()(image)
    hidden = keras.layers.Dropout(chosen["dropout"])(keras.layers.Flatten()(image))
    hidden = keras.layers.Dense(units, activation="relu")(hidden)
    answer = keras.layers.Dense(10, activation="softmax")(hidden)
    model = keras.Model({"pixels": pixels}, answer)
    model.compile(
        optimizer=keras.optimizers.Adam(chosen["learning_rate"]),
        loss="sparse_categorical_crossentropy",
    )
    return model
{% else %}
def build(rows: pd.DataFrame, {% if cookiecutter.__problem == "regression" %}target: str, {% endif %}chosen: dict[str, container.Scalar]) -> keras.Model:
    """The network, ready to fit; `rows` are what it scales numbers and knows categories by."""
    given = {"numbers": keras.Input((len(columns.NUMBERS),), name="numbers")}
    table = rows[list(columns.NUMBERS)]
    scale = keras.layers.Normalization(
        mean=table.mean().fillna(0).to_numpy("float32"),
        variance=table.var().replace(0, 1).fillna(1).to_numpy("float32"),
    )
    # A number that is not known counts as the mean, and says that it was not known.
    unknown = keras.ops.isnan(given["numbers"])
    scaled = keras.ops.where(unknown, 0.0, scale(given["numbers"]))
    joined = [scaled, keras.ops.cast(unknown, "float32")]
    for name in columns.CATEGORIES:
        given[name] = keras.Input((), dtype="string", name=name)
        known = sorted(rows[name].dropna().astype(str).unique())
        lookup = keras.layers.StringLookup(vocabulary=known)
        size = min(16, 1 + len(known) // 2)
        joined.append(keras.layers.Embedding(lookup.vocabulary_size(), size)(lookup(given[name])))
    hidden = keras.layers.Concatenate()(joined)
    for units in (chosen["units"] * 2, chosen["units"]):
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(chosen["dropout"])(hidden)
{% if cookiecutter.__problem == "regression" %}
    # Learnt in standard deviations of the target, answered in its unit.
    spread, mean = float(rows[target].std()) or 1.0, float(rows[target].mean())
    answer = keras.layers.Rescaling(spread, mean)(keras.layers.Dense(1)(hidden))
{% else %}
    answer = keras.layers.Dense(1, activation="sigmoid")(hidden)
{% endif %}
    model = keras.Model(given, answer)
    model.compile(
        optimizer=keras.optimizers.Adam(chosen["learning_rate"]),
        loss="{{ "mse" if cookiecutter.__problem == "regression" else "binary_crossentropy" }}",
    )
    return model
{% endif %}


if __name__ == "__main__":
    container.run(train)
