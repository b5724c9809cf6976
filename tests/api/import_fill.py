# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Fills a database by MLflow's own stores, with some of everything, to be imported: works with MLflow 2.22 and 3.17.

    python import_fill.py URI [--runs N] [--points N] [--versions N]

Points beyond the first are inserted by SQL, since MLflow would take minutes for millions.
"""

import argparse
import math
import os
import random

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

import sqlalchemy  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    ExperimentTag,
    InputTag,
    Metric,
    Param,
    RunTag,
)
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag  # noqa: E402
from mlflow.store.model_registry.sqlalchemy_store import (  # noqa: E402
    SqlAlchemyStore as Registry,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking  # noqa: E402

KEYS = ["loss", "val/accuracy", "grad norm", "größe", "lr"]


def fill_experiment(store, name, runs):
    experiment = store.create_experiment(
        name, f"s3://bucket/{name}", [ExperimentTag("team", "ä🙂"), ExperimentTag("empty", "")]
    )
    ids = []
    for i in range(runs):
        tags = [RunTag("mlflow.runName", f"run-{i}"), RunTag("kind", "x" * (i % 50))]
        if i % 5 == 4 and ids:
            tags.append(RunTag("mlflow.parentRunId", ids[0]))
        run = store.create_run(experiment, "user" if i % 2 else "", 1_700_000_000_000 + i, tags, f"run-{i}")
        ids.append(run.info.run_id)
        store.log_batch(
            ids[-1],
            [Metric(k, i / 7, 1_700_000_000_000 + j, j) for j, k in enumerate(KEYS)],
            [Param(f"p{j}", f"{i}-{j}") for j in range(4)],
            [],
        )
    return experiment, ids


def fill_oddities(store, ids):
    for step, value in enumerate([float("nan"), float("inf"), float("-inf"), -0.0, 1e-308, 0.1 + 0.2]):
        store.log_metric(ids[0], Metric("odd", value, 1_700_000_000_000 + step, step - 2))
    store.log_metric(ids[0], Metric("odd", float("nan"), 1_700_000_000_009, 9))
    store.log_metric(ids[1 % len(ids)], Metric("big", 1.0, 2**53, 2**62))
    dataset = Dataset("d", "abc123", "local", '{"uri": "x"}', '{"schema": 1}', None)
    for run in ids[:3]:
        store.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
    status = __import__("mlflow.entities", fromlist=["RunStatus"]).RunStatus
    store.update_run_info(ids[0], status.FINISHED, 1_700_000_100_000, "renamed")
    store.update_run_info(ids[1 % len(ids)], status.FAILED, 1_700_000_100_001, None)
    if len(ids) > 3:
        store.delete_run(ids[3])


def fill_logged_models(store, experiment, ids):
    if not hasattr(store, "create_logged_model"):
        return
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelParameter, LoggedModelTag
    from mlflow.entities.logged_model_status import LoggedModelStatus

    models = []
    for i in range(4):
        model = store.create_logged_model(
            experiment,
            f"model-{i}",
            ids[i % len(ids)],
            [LoggedModelTag("t", f"v{i}")],
            [LoggedModelParameter("depth", str(i))],
            "Agent" if i % 2 else None,
        )
        models.append(model.model_id)
        for step in range(3):
            store.log_batch(
                ids[0],
                [
                    Metric(
                        "quality",
                        float("nan") if step == 2 and i == 1 else i + step / 10,
                        1_700_000_000_000 + step,
                        step,
                        model_id=model.model_id,
                        dataset_name="d" if step else None,
                        dataset_digest="abc123" if step else None,
                    )
                ],
                [],
                [],
            )
    store.finalize_logged_model(models[0], LoggedModelStatus.READY)
    store.finalize_logged_model(models[1], LoggedModelStatus.FAILED)
    store.log_outputs(ids[0], [LoggedModelOutput(models[0], 3), LoggedModelOutput(models[1], 0)])
    store.log_inputs(ids[1 % len(ids)], models=[LoggedModelInput(models[0])])
    store.delete_logged_model(models[3])


def fill_registry(registry, ids, versions):
    each = max(1, versions // 4)
    for m in range(4):
        name = f"model {m}"
        registry.create_registered_model(name, [RegisteredModelTag("k", f"v{m}")], f"about {m}" if m else None)
        for v in range(each):
            registry.create_model_version(
                name,
                f"s3://bucket/{m}/{v}",
                ids[v % len(ids)],
                [ModelVersionTag("n", str(v))],
                "http://link" if v % 3 else None,
                description="text" if v % 2 else None,
            )
        registry.set_registered_model_alias(name, "champion", 1)
        registry.transition_model_version_stage(name, "1", "Production", False)
        if each > 2:
            registry.transition_model_version_stage(name, "2", "Staging", False)
            registry.delete_model_version(name, str(each))
    registry.create_registered_model(
        "a prompt", [RegisteredModelTag("mlflow.prompt.is_prompt", "true")], None
    )
    registry.create_registered_model("empty", [], "")


def fill_webhooks(registry):
    if not hasattr(registry, "create_webhook"):
        return
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus

    created = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
    tagged = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
    registry.create_webhook("one", "https://8.8.8.8/a", [created, tagged], "text", "a secret")
    registry.create_webhook("two", "https://8.8.8.8/b", [tagged], None, None, WebhookStatus.DISABLED)
    gone = registry.create_webhook("gone", "https://8.8.8.8/c", [created])
    registry.delete_webhook(gone.webhook_id)


def fill_points(uri, ids, points):
    """By SQL: a curve for each run and key, and its latest value."""
    if points <= 0:
        return
    engine = sqlalchemy.create_engine(uri)
    keys = [f"curve{k}" for k in range(5)]
    each = max(1, points // (len(ids) * len(keys)))
    metric = (
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan)"
        " VALUES (:key, :value, :timestamp, :step, :run, :nan)"
    )
    latest = metric.replace("metrics", "latest_metrics")
    if engine.dialect.name == "postgresql":
        with engine.begin() as db:
            for key in keys:
                db.execute(
                    sqlalchemy.text(
                        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) SELECT :key, 1.0 / (s + 1),"
                        " 1700000000000 + s, s, run_uuid, false FROM runs, generate_series(0, :n - 1) AS s"
                        " WHERE run_uuid = ANY(:ids)"
                    ),
                    {"key": key, "n": each, "ids": ids},
                )
                db.execute(
                    sqlalchemy.text(
                        "INSERT INTO latest_metrics (key, value, timestamp, step, run_uuid, is_nan) SELECT :key,"
                        " 1.0 / :n, 1700000000000 + :n - 1, :n - 1, run_uuid, false FROM runs WHERE run_uuid = ANY(:ids)"
                    ),
                    {"key": key, "n": each, "ids": ids},
                )
        return
    rows, last = [], []
    for run in ids:
        for key in keys:
            for step in range(each):
                row = {
                    "key": key,
                    "value": 1.0 / (step + 1),
                    "timestamp": 1_700_000_000_000 + step,
                    "step": step,
                    "run": run,
                    "nan": False,
                }
                rows.append(row)
            last.append(rows[-1])
    with engine.begin() as db:
        db.execute(sqlalchemy.text(metric), rows)
        db.execute(sqlalchemy.text(latest), last)


def fill(uri, runs=12, points=0, versions=12):
    random.seed(1)
    store = Tracking(uri, "mlflow-artifacts:/")
    registry = Registry(uri)
    first, ids = fill_experiment(store, "first", max(5, runs // 2))
    _, more = fill_experiment(store, "zweites / ü", max(3, runs - runs // 2))
    gone, _ = fill_experiment(store, "deleted", 2)
    fill_oddities(store, ids)
    fill_logged_models(store, first, ids)
    store.delete_experiment(gone)
    fill_registry(registry, ids, versions)
    fill_webhooks(registry)
    fill_points(uri, [i for i in ids + more if i != ids[3]], points)
    assert math.isnan(store.get_run(ids[0]).data.metrics["odd"])
    return ids + more


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("uri")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--versions", type=int, default=12)
    options = parser.parse_args()
    fill(options.uri, options.runs, options.points, options.versions)
