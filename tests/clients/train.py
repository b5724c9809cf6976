# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Ordinary training with everything that MLflow 3 does by itself: python train.py URL. Prints what it made as JSON; what a
user would be bothered with goes to standard error.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

mlflow.set_tracking_uri(sys.argv[1])
experiment = mlflow.set_experiment("training")
mlflow.sklearn.autolog(log_datasets=True, registered_model_name="auto")
x, y = make_classification(200, 5, random_state=1)

with mlflow.start_run(run_name="outer") as outer:
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(x, y)
with mlflow.start_run() as plain:
    fitted = LogisticRegression().fit(x, y)
    fitted.score(x, y)
with mlflow.start_run() as by_hand:
    mlflow.sklearn.autolog(disable=True)

    @mlflow.trace
    def traced(n):
        return n + 1

    traced(1)
    info = mlflow.sklearn.log_model(fitted, name="model", input_example=x[:2], pip_requirements=["scikit-learn"])
    mlflow.models.evaluate(
        info.model_uri,
        x,
        targets=y,
        model_type="classifier",
        evaluator_config={"log_model_explainability": False},
    )
loaded = mlflow.pyfunc.load_model(info.model_uri)
assert (loaded.predict(x) == fitted.predict(x)).all()
mlflow.flush_trace_async_logging()
print(
    json.dumps(
        {
            "experiment": experiment.experiment_id,
            "outer": outer.info.run_id,
            "plain": plain.info.run_id,
            "model_id": info.model_id,
        }
    )
)
