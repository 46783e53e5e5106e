"""A network of Keras as a SavedModel: TensorFlow computes its signature."""

import sys
from pathlib import Path

import keras
from payments import payments


def network() -> keras.Model:
    """Fit one."""
    rows, labels = payments(2_000)
    scale = keras.layers.Normalization()
    scale.adapt(rows)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            scale,
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(rows, labels, epochs=3, verbose=0)
    return model


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    path = folder / "fraud-savedmodel"
    network().export(path, verbose=False)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
