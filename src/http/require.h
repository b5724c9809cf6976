/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * require — which grants a request takes: the validators of MLflow's auth app (mlflow/server/auth/
 * __init__.py of 3.17.2) as lists of requirements. What is judged is what the handler will use: the
 * same records, fields and path keys.
 */
#ifndef HTTP_REQUIRE_H
#define HTTP_REQUIRE_H

#include "auth/auth.h"

struct job;

struct requirements {
	struct auth_requirement *items;
	size_t count, capacity;
};

/*
 * Of the job's row and its decoded request. 1; 0: not without a database (c->db is NULL); -1: no
 * user but an admin may (PERMISSION_DENIED), or nothing is there to judge (INVALID_PARAMETER_VALUE,
 * RESOURCE_DOES_NOT_EXIST where MLflow says so), or no database. Never asked about admins.
 */
int require_route(struct job *j, struct requirements *ret) MUST_CHECK;

/* Of seeing the runs in the artifact folder of an experiment. False: the listed one is none. */
bool require_run_folders(struct job *j, struct requirements *ret);

#endif
