# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What both servers hold before they are measured: 10,000 runs and 20,000 registered models of two versions."""

from concurrent.futures import ThreadPoolExecutor

import requests

RUNS = 10_000
MODELS = 20_000


def fill(server):
    """The experiment to search in, through REST: each server writes as it does."""
    session = requests.Session()
    api = server.url + "/api/2.0/mlflow/"
    experiment = session.post(api + "experiments/create", json={"name": "bench"}).json()[
        "experiment_id"
    ]

    def one(n):
        s = sessions[n % len(sessions)]
        made = s.post(
            api + "runs/create",
            json={"experiment_id": experiment, "start_time": 1_600_000_000_000 + n},
        ).json()
        run = made["run"]["info"]["run_id"]
        body = {
            "run_id": run,
            "metrics": [
                {"key": f"m{i}", "value": (n * (i + 7) % 1000) / 1000, "timestamp": n, "step": 0}
                for i in range(10)
            ],
            "params": [{"key": f"p{i}", "value": str(n % (5 + i))} for i in range(10)],
            "tags": [{"key": f"t{i}", "value": str(n % (3 + i))} for i in range(5)],
        }
        assert s.post(api + "runs/log-batch", json=body).status_code == 200
        return run

    def model(n):
        s, name = sessions[n % len(sessions)], f"model-{n:05d}"
        body = {"name": name, "description": "a model", "tags": model_tags(n)}
        assert s.post(api + "registered-models/create", json=body).status_code == 200
        for version in (1, 2):
            body = {"name": name, "source": f"s3://bucket/{n}/{version}", "tags": model_tags(n)}
            assert s.post(api + "model-versions/create", json=body).status_code == 200

    sessions = [requests.Session() for _ in range(16)]
    with ThreadPoolExecutor(len(sessions)) as pool:
        made = list(pool.map(one, range(RUNS)))
        list(pool.map(model, range(MODELS)))
        return experiment, made


def model_tags(n):
    return [{"key": "team", "value": f"team {n % 40}"}, {"key": "task", "value": f"task {n % 7}"}]


def copy_to_mlflow(connection, name):
    """MLflow would take an hour over REST: the same runs by SQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)"
            " VALUES (%s, 'mlflow-artifacts:/bench', 'active', 0, 0) RETURNING experiment_id",
            (name,),
        )
        experiment = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " SELECT md5(n::text), 'run-' || n, 'UNKNOWN', '', '', '', 'RUNNING', 1600000000000 + n, '', 'active',"
            " 'mlflow-artifacts:/bench/' || md5(n::text) || '/artifacts', %s FROM generate_series(0, %s) n",
            (experiment, RUNS - 1),
        )
        for table in ("metrics", "latest_metrics"):
            cursor.execute(
                f"INSERT INTO {table} (run_uuid, key, value, timestamp, step, is_nan) SELECT md5(n::text), 'm' || i,"
                f" (n * (i + 7) %% 1000) / 1000.0, n, 0, false FROM generate_series(0, %s) n, generate_series(0, 9) i",
                (RUNS - 1,),
            )
        cursor.execute(
            "INSERT INTO params (run_uuid, key, value) SELECT md5(n::text), 'p' || i, (n %% (5 + i))::text"
            " FROM generate_series(0, %s) n, generate_series(0, 9) i",
            (RUNS - 1,),
        )
        cursor.execute(
            "INSERT INTO tags (run_uuid, key, value) SELECT md5(n::text), 't' || i, (n %% (3 + i))::text"
            " FROM generate_series(0, %s) n, generate_series(0, 4) i",
            (RUNS - 1,),
        )
        cursor.execute(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description)"
            " SELECT 'model-' || lpad(n::text, 5, '0'), 1600000000000 + n, 1600000000000 + n, 'a model'"
            " FROM generate_series(0, %s) n",
            (MODELS - 1,),
        )
        cursor.execute(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id,"
            " current_stage, source, run_id, run_link, status) SELECT 'model-' || lpad(n::text, 5, '0'), v,"
            " 1600000000000 + n, 1600000000000 + n, '', '', 'None', 's3://bucket/' || n || '/' || v, '', '', 'READY'"
            " FROM generate_series(0, %s) n, generate_series(1, 2) v",
            (MODELS - 1,),
        )
        for table, more, versions in (
            ("registered_model_tags", "", ""),
            ("model_version_tags", "version, ", ", generate_series(1, 2) v"),
        ):
            cursor.execute(
                f"INSERT INTO {table} (name, {more}key, value) SELECT 'model-' || lpad(n::text, 5, '0'),"
                f" {'v, ' if more else ''}k, k || ' ' || CASE k WHEN 'team' THEN n %% 40 ELSE n %% 7 END"
                f" FROM generate_series(0, %s) n{versions}, unnest(ARRAY['team', 'task']) k",
                (MODELS - 1,),
            )
        cursor.execute("SELECT md5(n::text) FROM generate_series(0, %s) n", (RUNS - 1,))
        return str(experiment), [row[0] for row in cursor.fetchall()]
