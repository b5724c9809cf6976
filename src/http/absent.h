/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* absent — why the rows of absent.def answer 501: a feature each, in words that clients see. */
#ifndef HTTP_ABSENT_H
#define HTTP_ABSENT_H

#define NO_TRACES "Traces are not part of Capstan: it keeps runs, metrics, artifacts and models."
#define NO_ASSESSMENTS "Assessments of traces are not part of Capstan, as traces are not."
#define NO_OTLP "OpenTelemetry ingest is not part of Capstan; send spans to a collector."
#define NO_GATEWAY "The AI gateway is not part of Capstan."
#define NO_MCP "The registry of MCP servers is not part of Capstan."
#define NO_ASSISTANT "The assistant is not part of Capstan."
#define NO_DEMO "Demo data is not part of Capstan."
#define NO_EVALUATION_DATASETS \
	"Evaluation datasets are not part of Capstan; datasets of runs are (runs/log-inputs)."
#define NO_EVALUATION "GenAI evaluation and its issues are not part of Capstan."
#define NO_JOBS "Jobs of MLflow's Python job runner are not part of Capstan."
#define NO_LABEL_SCHEMAS "Label schemas are not part of Capstan."
#define NO_REVIEW_QUEUES "Review queues are not part of Capstan."
#define NO_PROMPT_OPTIMIZATION "Prompt optimization is not part of Capstan."
#define NO_SCORERS "Scorers are not part of Capstan."
#define NO_TELEMETRY "Telemetry is not part of Capstan: it tells nobody what is done here."
#define NO_GRAPHQL \
	"GraphQL is not part of Capstan: all that MLflow's web UI asks by it is a REST route too."
#define NO_UI "The web UI is not part of this version of Capstan."
#define NO_SERVER_SIDE "MLflow's own server does not implement this route either."

#endif
