# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Trains a classifier and logs all of it with MLflow: parameters, scores, a learning curve, the data set, the model with
its signature and an example, feature importances, the data and this code.

    python train.py --tracking-uri http://127.0.0.1:5000

The last line on standard output is JSON: run_id, experiment_id, model_uri.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings

import mlflow
import numpy
import pandas
from mlflow.models import infer_signature
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

SEED = 20240
FEATURES = ["age", "income", "visits", "basket", "tenure", "returns", "distance", "rating"]
TARGET = "renewed"
STEPS = 10  # points of the learning curve


def make_data(rows):
    """Customers who do or do not renew; one value in twelve is missing, as in life."""
    x, y = make_classification(
        n_samples=rows,
        n_features=len(FEATURES),
        n_informative=5,
        n_redundant=1,
        class_sep=1.2,
        flip_y=0.03,
        random_state=SEED,
    )
    x[numpy.random.default_rng(SEED).random(x.shape) < 1 / 12] = numpy.nan
    frame = pandas.DataFrame(x, columns=FEATURES)
    frame[TARGET] = y.astype("float64")
    return frame


def make_model(arguments, trees):
    return Pipeline(
        [
            ("fill", SimpleImputer(strategy=arguments.fill)),
            (
                "forest",
                RandomForestClassifier(
                    n_estimators=trees, max_depth=arguments.max_depth, random_state=SEED
                ),
            ),
        ]
    )


def scores(model, x, y):
    found = model.predict(x)
    return {
        "accuracy": accuracy_score(y, found),
        "precision": precision_score(y, found),
        "recall": recall_score(y, found),
        "f1": f1_score(y, found),
    }


def log_learning_curve(arguments, train, test):
    """The same model on more and more of the data."""
    for step in range(1, STEPS + 1):
        part = train.iloc[: max(40, len(train) * step // STEPS)]
        model = make_model(arguments, trees=20).fit(part[FEATURES], part[TARGET])
        mlflow.log_metrics(
            {
                "learning_curve_accuracy": accuracy_score(
                    test[TARGET], model.predict(test[FEATURES])
                ),
                "learning_curve_train_accuracy": accuracy_score(
                    part[TARGET], model.predict(part[FEATURES])
                ),
                "learning_curve_rows": float(len(part)),
            },
            step=step,
        )


def log_data(frame, train):
    dataset = mlflow.data.from_pandas(train, name="renewals", targets=TARGET, source="renewals.csv")
    mlflow.log_input(dataset, context="training", tags={"rows": str(len(train))})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "renewals.csv")
        frame.to_csv(path, index=False)
        mlflow.log_artifact(path, "data")


def train(arguments):
    frame = make_data(arguments.rows)
    train_part, test = train_test_split(
        frame, test_size=0.25, random_state=SEED, stratify=frame[TARGET]
    )
    with mlflow.start_run(run_name=arguments.run_name) as run:
        mlflow.set_tags({"example": "renewals", "framework": "scikit-learn"})
        mlflow.log_params(
            {
                "n_estimators": arguments.trees,
                "max_depth": arguments.max_depth,
                "fill": arguments.fill,
                "rows": arguments.rows,
                "seed": SEED,
            }
        )
        log_data(frame, train_part)
        log_learning_curve(arguments, train_part, test)
        model = make_model(arguments, arguments.trees).fit(train_part[FEATURES], train_part[TARGET])
        found = scores(model, test[FEATURES], test[TARGET])
        mlflow.log_metrics(found)
        importances = dict(
            zip(FEATURES, map(float, model.named_steps["forest"].feature_importances_))
        )
        mlflow.log_dict(importances, "feature_importances.json")
        mlflow.log_artifact(os.path.abspath(__file__), "code")
        example = test[FEATURES].head(5)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=example,
            signature=infer_signature(test[FEATURES], model.predict(test[FEATURES])),
            skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
        )
    print(
        f"run {run.info.run_id} ({run.info.run_name}):",
        ", ".join(f"{k} {v:.3f}" for k, v in found.items()),
    )
    return {
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "model_uri": info.model_uri,
    }


def main():
    parser = argparse.ArgumentParser(description="Train a classifier and log it with MLflow.")
    parser.add_argument(
        "--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    )
    parser.add_argument("--experiment", default="renewals")
    parser.add_argument("--run-name")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--max-depth", type=int, default=8)
    parser.add_argument("--fill", choices=["mean", "median", "most_frequent"], default="median")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    mlflow.set_tracking_uri(arguments.tracking_uri)
    mlflow.set_experiment(arguments.experiment)
    print(json.dumps(train(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
