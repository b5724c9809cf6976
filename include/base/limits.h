/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Every limit of the daemon, in one place. Sizes are bytes, times milliseconds, unless said. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
	LIMIT_BODY = 16 << 20,            /* JSON request body */
	LIMIT_BODIES = 64 << 20,          /* all JSON bodies in memory at one time */
	LIMIT_INLINE_BODY = 16 << 10,     /* larger bodies are decoded by a worker */
	LIMIT_ARENA = 256 << 20,          /* one unit of work: one largest page */
	LIMIT_JSON_DEPTH = 64,
	LIMIT_ERROR_MESSAGE = 16 << 10,   /* what is longer is cut */
	LIMIT_JSON_VALUE_ECHO = 200,      /* bytes of a wrong value repeated in its error message */
	LIMIT_HEADER_LINE = 8 << 10,
	LIMIT_CONNECTIONS = 16384,
	LIMIT_QUEUE = 4096,               /* requests waiting for a worker or a commit */
	LIMIT_COMMIT_REQUESTS = 512,      /* requests sharing one commit */
	LIMIT_COMMIT_POINTS = 2000,       /* points sharing one, unless one request has more */
	LIMIT_READS = 64,                 /* requests sharing one read */
	LIMIT_LIGHT_WRITE = 100,          /* points of a write that never waits behind larger ones */
	LIMIT_FACTS = 16384,              /* runs and logged models whose experiment is kept in memory */
	LIMIT_KEYS_CACHED = 32768,        /* ids of metric, param and tag keys kept in memory */
	LIMIT_RENDERED = 32 << 20,        /* registered models kept in memory as searches show them; as much for runs and experiments */
	LIMIT_RENDERED_ONE = 64 << 10,    /* one of them */
	LIMIT_RENDERED_PAGE = 1000,       /* runs of a page larger than this are not kept for the next */

	LIMIT_PAGE = 50000,               /* MLflow's SEARCH_MAX_RESULTS_THRESHOLD */
	LIMIT_MODEL_PAGE = 1000,          /* registered-models/search */
	LIMIT_VERSION_PAGE = 200000,      /* model-versions/search */
	LIMIT_PAGE_TOKEN = 1 << 20,       /* LIMIT_ORDER_BY tags of LIMIT_TAG_VALUE fit in */
	LIMIT_SQL = 1 << 20,
	LIMIT_FILTER = 64 << 10,          /* filter_string */
	LIMIT_FILTER_TERMS = 200,
	LIMIT_FILTER_DEPTH = 32,
	LIMIT_ORDER_BY = 20,

	/* MLflow 3.17.2: mlflow/utils/validation.py and the column widths of its schema */
	LIMIT_KEY = 250,                  /* characters: metric, param and tag keys */
	LIMIT_PARAM_VALUE = 6000,         /* its column would take 8000 */
	LIMIT_TAG_VALUE = 8000,
	LIMIT_EXPERIMENT_TAG_VALUE = 20000,
	LIMIT_EXPERIMENT_NAME = 500,
	LIMIT_CUSTOM_VIEWS = 50,          /* tags mlflow.customView.view* of one experiment */
	LIMIT_MODEL_NAME = 500,           /* logged models */
	LIMIT_MODEL_TYPE = 500,
	LIMIT_MODEL_KEY = 255,            /* their params and tags */
	LIMIT_HISTORY_RUNS = 100,         /* get-history-bulk, -interval */
	LIMIT_HISTORY_BULK = 25000,       /* points of get-history-bulk */
	LIMIT_HISTORY_INTERVAL = 2500,    /* points per run of get-history-bulk-interval */
	LIMIT_DATASET_EXPERIMENTS = 20,   /* search-datasets */
	LIMIT_DATASET_SUMMARIES = 1000,
	LIMIT_RUN_NAME = 250,
	LIMIT_USER_ID = 256,
	LIMIT_DATASET_NAME = 500,
	LIMIT_DATASET_DIGEST = 36,
	LIMIT_DATASET_SOURCE_TYPE = 36,
	LIMIT_DATASET_SOURCE = 65535,
	LIMIT_DATASET_SCHEMA = 1048575,
	LIMIT_DATASET_PROFILE = 16777215,
	LIMIT_INPUT_TAG_KEY = 255,
	LIMIT_INPUT_TAG_VALUE = 500,
	LIMIT_MODEL_ID = 36,
	LIMIT_ARTIFACT_LOCATION = 2048,
	LIMIT_REGISTRY_NAME = 256,        /* registered models */
	LIMIT_REGISTRY_TEXT = 5000,       /* their descriptions, and those of versions */
	LIMIT_REGISTRY_TAG_KEY = 250,
	LIMIT_REGISTRY_TAG_VALUE = 100000, /* its column of registered models would take 5000 */
	LIMIT_ALIAS = 255,
	LIMIT_VERSION_SOURCE = 500,
	LIMIT_VERSION_RUN_ID = 32,
	LIMIT_VERSION_RUN_LINK = 500,
	LIMIT_MOVE_REASON = 5000,         /* ours: why an alias or stage moved */
	LIMIT_MOVE_PAGE = 1000,
	LIMIT_BATCH_METRICS = 1000,
	LIMIT_BATCH_PARAMS = 100,
	LIMIT_BATCH_TAGS = 100,
	LIMIT_BATCH_TOTAL = 1000,

	/* user accounts: the column widths of MLflow's auth tables, in characters */
	LIMIT_USERNAME = 255,
	LIMIT_PASSWORD = 1024,
	LIMIT_ROLE_NAME = 255,
	LIMIT_ROLE_DESCRIPTION = 1024,
	LIMIT_WORKSPACE = 63,
	LIMIT_RESOURCE_PATTERN = 512,     /* its column is narrower than names of models may be */
	LIMIT_PASSWORD_QUEUE = 256,       /* logins waiting for their password to be tried */
	LIMIT_PASSWORD_WAIT = 5000,       /* and for how long */

	LIMIT_WEBHOOK_URL = 500,          /* the column widths of MLflow's schema */
	LIMIT_WEBHOOK_DESCRIPTION = 1000,
	LIMIT_WEBHOOK_SECRET = 600,       /* encrypted it must fit in 1000 */
	LIMIT_WEBHOOK_PAGE = 1000,        /* list, delivery log */
	LIMIT_WEBHOOK_TESTS = 4,          /* test calls at one time */
	LIMIT_WEBHOOK_TEST = 10000,       /* deadline of a test call */
	LIMIT_WEBHOOK_BACKOFF = 60000,    /* between two attempts, unless the target says */
	LIMIT_WEBHOOK_RETRY_AFTER = 600000, /* what it may say */
	LIMIT_WEBHOOK_AGE = 86400000,     /* what could not be sent for so long is given up */
	LIMIT_WEBHOOK_LOG = 1000,         /* deliveries kept per webhook */
	LIMIT_WEBHOOK_LOG_AGE = 604800000, /* and for how long */

	LIMIT_PATH = 4096,                /* artifact path */
	LIMIT_PATH_SEGMENT = 255,
	LIMIT_RING = 256 << 10,           /* one transfer's ring */
	LIMIT_TRANSFERS = 256,            /* at one time; further ones wait in a queue */
	LIMIT_ROOTS = 256,                /* buckets and directories open at one time, besides the destination */
	LIMIT_UI_UPLOAD = 10 << 20,       /* ajax-api upload-artifact */
};

#endif
