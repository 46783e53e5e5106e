"""Frameworks by name: what people may ask for, told without what it takes to load any."""

MODULES = {
    "sklearn": "sklearn",
    "python": "python_callable",
    "tensorflow": "tensorflow",
    "spark": "spark",
    "pytorch": "pytorch",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "mlflow": "mlflow",
    "river": "river",
}
"""Module of `serving.replica.frameworks` that loads artefacts of a framework."""
