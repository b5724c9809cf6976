/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What grants permit. The tables were made by MLflow 3.17.2 itself: random grants and requirements
 * (a fixed seed), judged by mlflow.server.auth.requirements.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "auth/grants.h"
#include "base/arena.h"
#include "base/limits.h"
#include "store/user.h"

#include <cmocka.h>            /* last: it defines fail() */

struct rule {
	const char *grants;             /* type/pattern=PERMISSION ... */
	const char *fallback;
	const char *requirement;        /* type/id:action ..., the key itself and its rungs */
	bool allowed;
};

/* clang-format off */
static const struct rule rules[] = {
	{ "workspace/*=USE run/1=READ registered_model_version/1=DENY experiment/*=EDIT", "EDIT",
	  "registered_model_version/*:not_denied registered_model/2:not_denied", true },
	{ "registered_model/*=READ registered_model/*=NO_PERMISSIONS registered_model_version/*=USE",
	  "MANAGE",
	  "experiment/3:create", true },
	{ "", "USE",
	  "registered_model/2:read workspace/*:manage", false },
	{ "workspace/*=MANAGE", "USE",
	  "experiment/2:delete", true },
	{ "experiment/1=DENY workspace/*=USE registered_model_version/*=EDIT registered_model/*=MANAGE",
	  "READ",
	  "run/*:manage experiment/2:read", true },
	{ "experiment/1=READ registered_model_version/*=USE", "USE",
	  "registered_model_version/*:update registered_model/1:update", false },
	{ "experiment/1=USE experiment/*=USE", "NO_PERMISSIONS",
	  "registered_model/2:create workspace/*:delete", false },
	{ "", "READ",
	  "registered_model_version/*:update registered_model/1:update", false },
	{ "experiment/*=EDIT workspace/*=MANAGE registered_model_version/2=READ", "READ",
	  "registered_model_version/*:use registered_model/1:use", true },
	{ "experiment/1=USE", "USE",
	  "experiment/2:use", true },
	{ "", "USE",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "experiment/*=MANAGE registered_model/*=MANAGE run/*=USE", "NO_PERMISSIONS",
	  "registered_model/2:manage workspace/*:delete", true },
	{ "registered_model_version/2=MANAGE", "EDIT",
	  "experiment/1:delete", false },
	{ "workspace/*=USE", "READ",
	  "registered_model_version/*:manage registered_model/1:manage", false },
	{ "registered_model_version/2=DENY run/*=MANAGE registered_model/1=USE registered_model/*=USE",
	  "EDIT",
	  "registered_model_version/*:delete registered_model/1:delete", false },
	{ "experiment/*=READ registered_model_version/*=EDIT workspace/*=USE registered_model_version/*=MANAGE",
	  "MANAGE",
	  "registered_model/1:delete workspace/*:update", true },
	{ "registered_model/*=EDIT run/1=READ", "NO_PERMISSIONS",
	  "registered_model_version/*:read registered_model/1:read", true },
	{ "", "NO_PERMISSIONS",
	  "registered_model/2:create workspace/*:manage", false },
	{ "experiment/*=EDIT", "MANAGE",
	  "run/*:not_denied experiment/3:read", true },
	{ "experiment/2=DENY registered_model_version/*=READ registered_model_version/1=USE", "USE",
	  "registered_model_version/*:manage registered_model/2:manage", false },
	{ "experiment/1=DENY experiment/1=USE run/*=USE", "READ",
	  "run/*:delete experiment/2:delete", false },
	{ "", "USE",
	  "run/*:read experiment/3:delete", false },
	{ "registered_model/2=USE registered_model/*=MANAGE", "MANAGE",
	  "run/*:not_denied experiment/2:read", true },
	{ "workspace/*=MANAGE workspace/*=MANAGE registered_model_version/*=NO_PERMISSIONS",
	  "MANAGE",
	  "run/*:use experiment/3:manage", true },
	{ "workspace/*=USE workspace/*=USE", "MANAGE",
	  "run/*:use experiment/3:use", true },
	{ "workspace/*=MANAGE", "USE",
	  "registered_model/1:not_denied workspace/*:update", true },
	{ "workspace/*=USE", "MANAGE",
	  "run/*:update experiment/1:read", true },
	{ "workspace/*=USE workspace/*=USE", "MANAGE",
	  "registered_model/1:use workspace/*:read", true },
	{ "experiment/1=USE workspace/*=USE", "READ",
	  "run/*:create experiment/2:update", false },
	{ "run/*=EDIT experiment/1=READ registered_model/*=MANAGE", "USE",
	  "registered_model/2:delete workspace/*:read", true },
	{ "workspace/*=MANAGE registered_model/1=DENY", "NO_PERMISSIONS",
	  "experiment/3:update", true },
	{ "workspace/*=USE registered_model_version/1=NO_PERMISSIONS run/2=READ", "EDIT",
	  "run/*:use experiment/1:update", true },
	{ "registered_model/2=DENY", "EDIT",
	  "run/*:update experiment/3:manage", false },
	{ "registered_model_version/2=NO_PERMISSIONS", "EDIT",
	  "experiment/1:use", true },
	{ "workspace/*=USE workspace/*=USE workspace/*=USE", "READ",
	  "registered_model_version/*:delete registered_model/1:delete", false },
	{ "workspace/*=USE", "EDIT",
	  "experiment/3:delete", false },
	{ "experiment/*=EDIT experiment/1=EDIT registered_model/*=READ", "USE",
	  "run/*:read experiment/1:update", true },
	{ "experiment/*=USE registered_model_version/1=MANAGE run/2=MANAGE", "USE",
	  "experiment/3:not_denied", true },
	{ "", "MANAGE",
	  "registered_model_version/*:manage registered_model/1:manage", true },
	{ "", "USE",
	  "registered_model_version/*:manage registered_model/2:manage", false },
	{ "registered_model/*=DENY run/1=EDIT workspace/*=USE", "EDIT",
	  "registered_model_version/*:use registered_model/1:use", false },
	{ "experiment/1=MANAGE registered_model/2=DENY registered_model_version/*=DENY workspace/*=USE",
	  "EDIT",
	  "run/*:create experiment/1:manage", true },
	{ "experiment/1=DENY registered_model_version/*=DENY registered_model/2=READ", "USE",
	  "registered_model_version/*:update registered_model/2:update", false },
	{ "experiment/2=DENY workspace/*=USE workspace/*=USE run/1=NO_PERMISSIONS", "EDIT",
	  "experiment/2:not_denied", false },
	{ "", "MANAGE",
	  "registered_model/1:update workspace/*:manage", true },
	{ "experiment/1=NO_PERMISSIONS", "NO_PERMISSIONS",
	  "run/*:not_denied experiment/3:use", false },
	{ "workspace/*=USE experiment/2=DENY", "EDIT",
	  "registered_model/2:delete workspace/*:manage", false },
	{ "registered_model_version/2=MANAGE", "READ",
	  "run/*:not_denied experiment/2:use", false },
	{ "workspace/*=USE registered_model/*=READ", "MANAGE",
	  "registered_model/2:use workspace/*:delete", true },
	{ "workspace/*=MANAGE experiment/*=DENY", "READ",
	  "experiment/1:update", true },
	{ "run/2=EDIT experiment/*=DENY", "MANAGE",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "run/1=MANAGE", "READ",
	  "registered_model_version/*:manage registered_model/2:manage", false },
	{ "experiment/*=DENY registered_model/2=MANAGE registered_model/2=MANAGE", "NO_PERMISSIONS",
	  "experiment/2:use", false },
	{ "workspace/*=USE run/*=READ registered_model/*=MANAGE", "EDIT",
	  "registered_model_version/*:use registered_model/2:use", true },
	{ "workspace/*=MANAGE", "USE",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "experiment/*=DENY registered_model/2=READ run/*=USE", "MANAGE",
	  "registered_model_version/*:update registered_model/2:update", true },
	{ "registered_model_version/2=DENY workspace/*=USE", "READ",
	  "run/*:use experiment/1:read", true },
	{ "experiment/*=READ run/1=READ", "READ",
	  "run/*:use experiment/3:manage", false },
	{ "experiment/2=DENY workspace/*=USE workspace/*=USE registered_model_version/2=MANAGE",
	  "NO_PERMISSIONS",
	  "experiment/1:read", false },
	{ "registered_model/1=MANAGE workspace/*=MANAGE experiment/*=USE registered_model/1=NO_PERMISSIONS",
	  "READ",
	  "registered_model_version/*:update registered_model/2:update", true },
	{ "registered_model_version/2=USE", "EDIT",
	  "run/*:use experiment/3:manage", false },
	{ "run/2=MANAGE run/*=NO_PERMISSIONS registered_model_version/1=READ", "USE",
	  "experiment/3:read", true },
	{ "experiment/*=USE registered_model_version/*=MANAGE", "READ",
	  "experiment/2:not_denied", true },
	{ "workspace/*=MANAGE", "EDIT",
	  "registered_model_version/*:use registered_model/2:use", true },
	{ "registered_model/*=EDIT experiment/*=MANAGE registered_model/*=EDIT", "MANAGE",
	  "run/*:delete experiment/2:manage", true },
	{ "registered_model_version/*=USE workspace/*=USE", "USE",
	  "registered_model_version/*:update registered_model/1:update", false },
	{ "run/2=EDIT experiment/*=EDIT run/*=READ", "NO_PERMISSIONS",
	  "registered_model/1:update workspace/*:manage", false },
	{ "run/1=NO_PERMISSIONS run/*=DENY", "READ",
	  "experiment/1:delete", false },
	{ "experiment/2=NO_PERMISSIONS run/*=MANAGE run/1=MANAGE", "USE",
	  "experiment/2:read", false },
	{ "experiment/*=MANAGE registered_model/2=DENY", "USE",
	  "experiment/3:manage", true },
	{ "experiment/*=USE registered_model_version/1=MANAGE", "READ",
	  "experiment/2:update", false },
	{ "", "USE",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "registered_model_version/*=MANAGE registered_model/1=DENY registered_model_version/*=EDIT registered_model_version/1=DENY",
	  "READ",
	  "experiment/1:read", true },
	{ "registered_model/1=MANAGE", "USE",
	  "registered_model/1:read workspace/*:delete", true },
	{ "workspace/*=MANAGE registered_model/*=NO_PERMISSIONS run/2=EDIT registered_model_version/*=MANAGE",
	  "EDIT",
	  "registered_model/1:use workspace/*:read", true },
	{ "", "USE",
	  "registered_model_version/*:manage registered_model/1:manage", false },
	{ "registered_model_version/*=EDIT", "NO_PERMISSIONS",
	  "registered_model_version/*:not_denied registered_model/1:not_denied", true },
	{ "run/*=USE", "MANAGE",
	  "run/*:manage experiment/2:read", true },
	{ "", "EDIT",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "run/*=MANAGE registered_model/*=USE run/2=USE", "READ",
	  "run/*:manage experiment/2:manage", true },
	{ "registered_model/1=DENY registered_model/1=MANAGE", "USE",
	  "registered_model_version/*:delete registered_model/2:delete", false },
	{ "registered_model_version/2=USE registered_model/*=DENY registered_model_version/1=MANAGE",
	  "MANAGE",
	  "registered_model/1:update workspace/*:use", false },
	{ "registered_model_version/2=DENY registered_model/*=READ", "READ",
	  "experiment/3:read", true },
	{ "run/*=READ registered_model/*=USE run/*=READ", "USE",
	  "registered_model/1:manage workspace/*:update", false },
	{ "experiment/2=USE run/*=READ", "USE",
	  "run/*:create experiment/2:delete", true },
	{ "", "NO_PERMISSIONS",
	  "run/*:not_denied experiment/2:read", false },
	{ "", "MANAGE",
	  "experiment/3:update", true },
	{ "registered_model/1=USE run/*=DENY workspace/*=USE", "MANAGE",
	  "run/*:read experiment/3:update", false },
	{ "registered_model/*=READ", "MANAGE",
	  "experiment/2:delete", true },
	{ "registered_model/*=USE experiment/*=DENY experiment/*=MANAGE registered_model/*=USE",
	  "READ",
	  "registered_model_version/*:not_denied registered_model/1:not_denied", true },
	{ "", "EDIT",
	  "run/*:use experiment/1:delete", false },
	{ "", "MANAGE",
	  "experiment/3:create", true },
	{ "registered_model/1=READ run/2=NO_PERMISSIONS", "MANAGE",
	  "run/*:manage experiment/3:use", true },
	{ "workspace/*=USE", "READ",
	  "registered_model/2:delete workspace/*:delete", false },
	{ "", "NO_PERMISSIONS",
	  "registered_model/2:use workspace/*:update", false },
	{ "", "NO_PERMISSIONS",
	  "run/*:create experiment/1:manage", false },
	{ "", "EDIT",
	  "run/*:not_denied experiment/1:use", true },
	{ "run/1=DENY", "USE",
	  "registered_model/2:create workspace/*:read", true },
	{ "registered_model_version/2=USE registered_model_version/*=MANAGE", "READ",
	  "experiment/1:not_denied", true },
	{ "registered_model_version/1=USE workspace/*=USE workspace/*=USE experiment/*=EDIT",
	  "NO_PERMISSIONS",
	  "registered_model/1:update workspace/*:read", true },
	{ "registered_model_version/2=READ run/*=DENY", "MANAGE",
	  "registered_model/1:not_denied workspace/*:read", true },
	{ "registered_model_version/2=USE run/*=USE run/2=NO_PERMISSIONS registered_model_version/*=USE",
	  "EDIT",
	  "registered_model/2:manage workspace/*:read", true },
	{ "run/*=READ", "EDIT",
	  "registered_model_version/*:use registered_model/1:use", true },
	{ "experiment/*=USE registered_model/*=USE", "MANAGE",
	  "registered_model_version/*:delete registered_model/1:delete", true },
	{ "workspace/*=MANAGE", "NO_PERMISSIONS",
	  "registered_model/2:read workspace/*:delete", true },
	{ "run/2=EDIT registered_model/2=USE workspace/*=USE experiment/1=READ", "READ",
	  "experiment/2:read", true },
	{ "workspace/*=USE registered_model_version/*=USE workspace/*=USE", "EDIT",
	  "run/*:manage experiment/1:manage", false },
	{ "registered_model_version/2=READ run/*=READ workspace/*=USE experiment/2=NO_PERMISSIONS",
	  "USE",
	  "run/*:not_denied experiment/2:update", true },
	{ "run/*=EDIT experiment/*=MANAGE workspace/*=USE run/*=READ", "MANAGE",
	  "registered_model_version/*:delete registered_model/2:delete", true },
	{ "experiment/1=NO_PERMISSIONS", "EDIT",
	  "registered_model_version/*:not_denied registered_model/1:not_denied", true },
	{ "registered_model/1=READ run/*=DENY registered_model_version/1=MANAGE", "EDIT",
	  "registered_model_version/*:not_denied registered_model/1:not_denied", true },
	{ "workspace/*=USE experiment/1=DENY run/*=DENY registered_model_version/*=EDIT",
	  "NO_PERMISSIONS",
	  "run/*:delete experiment/2:update", false },
	{ "workspace/*=USE workspace/*=USE experiment/*=DENY experiment/*=USE", "EDIT",
	  "registered_model/2:read workspace/*:update", true },
	{ "run/1=USE workspace/*=USE run/1=EDIT", "EDIT",
	  "registered_model_version/*:update registered_model/1:update", true },
	{ "", "USE",
	  "experiment/2:use", true },
	{ "registered_model_version/*=EDIT workspace/*=USE registered_model/*=READ", "USE",
	  "registered_model_version/*:create registered_model/2:create", true },
	{ "registered_model_version/*=EDIT workspace/*=USE run/2=READ run/*=NO_PERMISSIONS",
	  "MANAGE",
	  "experiment/2:delete", true },
	{ "run/1=EDIT registered_model/2=USE run/*=EDIT experiment/*=USE", "MANAGE",
	  "run/*:use experiment/2:manage", true },
	{ "workspace/*=MANAGE registered_model_version/1=DENY registered_model_version/*=NO_PERMISSIONS workspace/*=USE",
	  "EDIT",
	  "experiment/3:manage", true },
	{ "", "EDIT",
	  "experiment/3:update", true },
	{ "registered_model_version/*=DENY registered_model/1=DENY workspace/*=USE", "EDIT",
	  "experiment/3:delete", false },
	{ "workspace/*=MANAGE experiment/1=READ registered_model/*=EDIT", "READ",
	  "registered_model_version/*:update registered_model/2:update", true },
	{ "registered_model_version/2=USE experiment/*=NO_PERMISSIONS registered_model_version/2=DENY run/*=READ",
	  "NO_PERMISSIONS",
	  "experiment/1:use", false },
	{ "", "NO_PERMISSIONS",
	  "registered_model/1:delete workspace/*:delete", false },
	{ "workspace/*=USE run/1=NO_PERMISSIONS", "NO_PERMISSIONS",
	  "experiment/3:manage", false },
	{ "experiment/*=READ", "NO_PERMISSIONS",
	  "registered_model/1:use workspace/*:delete", false },
	{ "workspace/*=USE experiment/*=DENY workspace/*=MANAGE", "MANAGE",
	  "experiment/3:manage", true },
	{ "registered_model_version/1=READ registered_model/*=NO_PERMISSIONS", "EDIT",
	  "registered_model/1:not_denied workspace/*:delete", true },
	{ "registered_model_version/*=EDIT experiment/2=READ registered_model/1=READ experiment/1=USE",
	  "MANAGE",
	  "experiment/1:create", true },
	{ "registered_model_version/*=USE", "READ",
	  "registered_model/2:use workspace/*:manage", false },
	{ "run/2=EDIT registered_model/2=USE run/*=MANAGE", "EDIT",
	  "experiment/1:manage", false },
	{ "workspace/*=USE registered_model_version/2=NO_PERMISSIONS", "READ",
	  "run/*:read experiment/2:delete", false },
	{ "registered_model_version/1=DENY", "USE",
	  "run/*:create experiment/3:update", false },
	{ "", "USE",
	  "run/*:manage experiment/2:delete", false },
	{ "registered_model_version/1=NO_PERMISSIONS registered_model_version/1=EDIT registered_model/*=MANAGE",
	  "NO_PERMISSIONS",
	  "run/*:delete experiment/2:read", false },
	{ "run/*=NO_PERMISSIONS", "MANAGE",
	  "run/*:update experiment/2:read", false },
	{ "registered_model/*=NO_PERMISSIONS registered_model_version/*=NO_PERMISSIONS", "EDIT",
	  "registered_model/1:create workspace/*:manage", false },
	{ "", "NO_PERMISSIONS",
	  "experiment/1:create", false },
	{ "registered_model/*=DENY workspace/*=USE workspace/*=USE", "MANAGE",
	  "registered_model_version/*:read registered_model/2:read", false },
	{ "run/2=NO_PERMISSIONS registered_model_version/*=DENY registered_model/*=MANAGE experiment/*=DENY",
	  "READ",
	  "run/*:create experiment/1:read", false },
	{ "", "USE",
	  "experiment/1:delete", false },
	{ "workspace/*=USE", "NO_PERMISSIONS",
	  "registered_model_version/*:delete registered_model/2:delete", false },
	{ "", "USE",
	  "run/*:create experiment/1:delete", false },
	{ "run/*=MANAGE", "READ",
	  "experiment/2:use", false },
	{ "run/1=READ experiment/*=USE run/*=DENY", "READ",
	  "registered_model/2:update workspace/*:update", false },
	{ "experiment/1=NO_PERMISSIONS run/1=EDIT", "USE",
	  "run/*:use experiment/3:manage", false },
	{ "run/*=EDIT", "USE",
	  "experiment/1:update", false },
	{ "registered_model/1=MANAGE", "NO_PERMISSIONS",
	  "experiment/1:delete", false },
	{ "experiment/*=DENY experiment/*=NO_PERMISSIONS registered_model_version/*=READ registered_model_version/*=EDIT",
	  "MANAGE",
	  "run/*:read experiment/3:manage", false },
	{ "", "EDIT",
	  "run/*:use experiment/2:delete", false },
	{ "", "NO_PERMISSIONS",
	  "experiment/1:create", false },
	{ "", "USE",
	  "registered_model/1:manage workspace/*:delete", false },
	{ "experiment/*=NO_PERMISSIONS", "READ",
	  "run/*:read experiment/3:delete", false },
	{ "registered_model_version/1=DENY experiment/1=READ workspace/*=USE", "NO_PERMISSIONS",
	  "experiment/3:update", false },
	{ "registered_model/2=USE", "NO_PERMISSIONS",
	  "experiment/3:delete", false },
	{ "experiment/*=READ experiment/1=NO_PERMISSIONS experiment/1=MANAGE registered_model/2=READ",
	  "READ",
	  "experiment/3:manage", false },
	{ "", "USE",
	  "experiment/1:delete", false },
	{ "run/2=NO_PERMISSIONS workspace/*=USE run/*=NO_PERMISSIONS run/1=MANAGE", "EDIT",
	  "registered_model/2:update workspace/*:delete", false },
	{ "experiment/*=MANAGE registered_model_version/*=USE registered_model_version/2=MANAGE experiment/1=EDIT",
	  "EDIT",
	  "registered_model_version/*:manage registered_model/2:manage", false },
	{ "registered_model_version/*=READ run/2=MANAGE registered_model/2=MANAGE", "USE",
	  "run/*:use experiment/2:update", false },
};

/* Which of the ids 1, 2, 3 and 9 a search shows. */
static const struct { const char *grants, *fallback, *type, *seen; } views[] = {
	{ "workspace/*=USE registered_model_version/2=MANAGE", "READ", "experiment", "1239" },
	{ "experiment/2=DENY experiment/1=MANAGE run/*=NO_PERMISSIONS registered_model/*=USE",
	  "READ", "experiment", "139" },
	{ "experiment/*=MANAGE registered_model/1=DENY registered_model_version/1=MANAGE registered_model_version/2=USE",
	  "EDIT", "experiment", "1239" },
	{ "registered_model_version/1=USE run/2=NO_PERMISSIONS experiment/1=EDIT workspace/*=USE experiment/1=NO_PERMISSIONS",
	  "READ", "experiment", "1239" },
	{ "run/1=MANAGE run/1=NO_PERMISSIONS run/2=MANAGE",
	  "NO_PERMISSIONS", "registered_model", "" },
	{ "registered_model_version/1=USE registered_model_version/*=DENY experiment/*=USE workspace/*=MANAGE",
	  "NO_PERMISSIONS", "registered_model", "1239" },
	{ "registered_model/*=USE experiment/*=READ experiment/*=USE experiment/1=READ",
	  "READ", "experiment", "1239" },
	{ "registered_model/2=EDIT", "NO_PERMISSIONS", "registered_model", "2" },
	{ "registered_model_version/*=READ", "READ", "registered_model", "1239" },
	{ "", "NO_PERMISSIONS", "experiment", "" },
	{ "", "EDIT", "experiment", "1239" },
	{ "workspace/*=MANAGE registered_model_version/2=DENY run/*=NO_PERMISSIONS experiment/1=USE registered_model/1=NO_PERMISSIONS",
	  "READ", "registered_model", "1239" },
	{ "registered_model/1=DENY", "READ", "experiment", "1239" },
	{ "run/1=USE workspace/*=USE workspace/*=USE registered_model_version/2=READ",
	  "READ", "experiment", "1239" },
	{ "workspace/*=USE run/*=DENY", "NO_PERMISSIONS", "experiment", "1239" },
	{ "", "NO_PERMISSIONS", "registered_model", "" },
	{ "run/*=NO_PERMISSIONS registered_model_version/2=NO_PERMISSIONS experiment/*=DENY workspace/*=USE experiment/2=EDIT",
	  "READ", "registered_model", "1239" },
	{ "workspace/*=USE workspace/*=MANAGE registered_model_version/1=READ experiment/*=MANAGE experiment/2=READ",
	  "NO_PERMISSIONS", "registered_model", "1239" },
	{ "experiment/2=EDIT experiment/1=NO_PERMISSIONS workspace/*=USE",
	  "EDIT", "experiment", "239" },
	{ "workspace/*=USE run/1=NO_PERMISSIONS registered_model/1=MANAGE registered_model/2=USE",
	  "NO_PERMISSIONS", "registered_model", "1239" },
	{ "workspace/*=USE registered_model/*=USE workspace/*=MANAGE",
	  "EDIT", "registered_model", "1239" },
	{ "run/2=NO_PERMISSIONS workspace/*=USE", "READ", "experiment", "1239" },
	{ "workspace/*=USE registered_model_version/*=EDIT registered_model/2=USE registered_model_version/*=DENY",
	  "EDIT", "experiment", "1239" },
	{ "registered_model_version/2=READ", "READ", "registered_model", "1239" },
	{ "registered_model_version/2=USE workspace/*=USE registered_model/1=DENY",
	  "NO_PERMISSIONS", "registered_model", "239" },
	{ "", "EDIT", "experiment", "1239" },
	{ "", "READ", "registered_model", "1239" },
	{ "experiment/1=NO_PERMISSIONS", "EDIT", "registered_model", "1239" },
	{ "workspace/*=USE run/2=MANAGE workspace/*=USE registered_model_version/1=READ workspace/*=MANAGE",
	  "READ", "experiment", "1239" },
	{ "", "READ", "registered_model", "1239" },
	{ "", "EDIT", "experiment", "1239" },
	{ "", "EDIT", "experiment", "1239" },
	{ "registered_model/*=MANAGE registered_model/2=DENY", "READ", "experiment", "1239" },
	{ "experiment/2=EDIT experiment/*=MANAGE experiment/*=NO_PERMISSIONS",
	  "NO_PERMISSIONS", "registered_model", "" },
	{ "registered_model_version/1=DENY experiment/1=DENY registered_model_version/*=MANAGE registered_model_version/*=USE registered_model/1=USE",
	  "READ", "experiment", "239" },
	{ "registered_model/*=READ registered_model_version/1=READ registered_model_version/*=MANAGE run/2=EDIT registered_model/2=DENY",
	  "READ", "registered_model", "139" },
	{ "", "EDIT", "registered_model", "1239" },
	{ "", "NO_PERMISSIONS", "experiment", "" },
	{ "registered_model_version/*=USE experiment/*=NO_PERMISSIONS run/*=USE experiment/*=EDIT registered_model/2=EDIT",
	  "READ", "registered_model", "1239" },
	{ "registered_model_version/1=EDIT run/1=NO_PERMISSIONS", "READ", "experiment", "1239" },
	{ "registered_model_version/2=DENY registered_model/*=EDIT", "READ", "experiment", "1239" },
	{ "", "READ", "experiment", "1239" },
	{ "registered_model_version/1=USE registered_model/*=EDIT registered_model/1=USE",
	  "READ", "registered_model", "1239" },
	{ "workspace/*=MANAGE workspace/*=MANAGE experiment/1=USE run/2=DENY",
	  "READ", "registered_model", "1239" },
	{ "registered_model/*=DENY registered_model/2=MANAGE experiment/1=MANAGE",
	  "READ", "registered_model", "" },
	{ "experiment/*=READ registered_model_version/1=EDIT", "EDIT", "registered_model", "1239" },
	{ "", "NO_PERMISSIONS", "experiment", "" },
	{ "registered_model_version/2=MANAGE run/1=MANAGE registered_model/*=READ registered_model/2=NO_PERMISSIONS experiment/*=USE",
	  "NO_PERMISSIONS", "experiment", "1239" },
	{ "experiment/1=EDIT run/1=NO_PERMISSIONS registered_model/*=MANAGE registered_model_version/2=READ",
	  "EDIT", "experiment", "1239" },
	{ "workspace/*=MANAGE registered_model/*=NO_PERMISSIONS experiment/*=NO_PERMISSIONS registered_model_version/*=MANAGE",
	  "READ", "registered_model", "1239" },
	{ "run/*=READ workspace/*=USE registered_model_version/1=DENY run/2=USE",
	  "NO_PERMISSIONS", "registered_model", "1239" },
	{ "registered_model/2=MANAGE", "READ", "registered_model", "1239" },
	{ "workspace/*=MANAGE run/2=DENY", "EDIT", "experiment", "1239" },
	{ "registered_model_version/*=NO_PERMISSIONS run/*=USE workspace/*=USE experiment/*=READ experiment/1=NO_PERMISSIONS",
	  "NO_PERMISSIONS", "registered_model", "1239" },
	{ "registered_model_version/2=NO_PERMISSIONS experiment/*=NO_PERMISSIONS registered_model_version/*=MANAGE",
	  "EDIT", "registered_model", "1239" },
	{ "", "READ", "experiment", "1239" },
	{ "workspace/*=MANAGE", "NO_PERMISSIONS", "experiment", "1239" },
	{ "registered_model/*=EDIT registered_model/*=USE", "READ", "experiment", "1239" },
	{ "", "EDIT", "registered_model", "1239" },
	{ "registered_model/1=NO_PERMISSIONS registered_model_version/*=EDIT",
	  "EDIT", "experiment", "1239" },
};
/* clang-format on */

static struct ctx c;

static int set_up(void **state)
{
	(void)state;
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static char *part(char **text, const char *until)
{
	char *found = strsep(text, until);

	assert_non_null(found);
	return found;
}

static struct auth_grants *grants_of(const char *text)
{
	struct list rows = { 0 };
	size_t capacity = 0;
	char *at = arena_strdup(c.arena, text);

	while (at && *at) {
		char *one = part(&at, " ");
		struct grant *g = list_add(c.arena, &rows, &capacity, sizeof(*g));

		g->resource_type = part(&one, "/");
		g->resource_pattern = part(&one, "=");
		g->permission = one;
	}
	struct auth_grants *g = auth_grants_new(&rows);
	assert_non_null(g);
	return g;
}

static enum auth_permission permission(const char *name)
{
	enum auth_permission p = AUTH_DENY;

	assert_true(auth_permission_parse(name, &p));
	assert_string_equal(auth_permission_name(p), name);
	return p;
}

static enum auth_action action(const char *name)
{
	static const char *const names[] = {
		[ACTION_READ] = "read", [ACTION_USE] = "use", [ACTION_UPDATE] = "update",
		[ACTION_DELETE] = "delete", [ACTION_MANAGE] = "manage",
		[ACTION_CREATE] = "create", [ACTION_NOT_DENIED] = "not_denied",
	};
	unsigned i = 0;

	while (strcmp(names[i], name) != 0)
		i++;
	return (enum auth_action)i;
}

static void rules_of_mlflow(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct auth_grants *g = grants_of(rules[i].grants);
		struct auth_requirement r = { .count = 0 };
		char *at = arena_strdup(c.arena, rules[i].requirement);

		while (at && *at) {
			char *one = part(&at, " ");
			enum auth_resource type = AUTH_WORKSPACE;

			assert_true(auth_resource_parse(part(&one, "/"), &type));
			char *id = part(&one, ":");
			r.rungs[r.count].type = type;
			r.rungs[r.count].id = strcmp(id, "*") ? id : NULL;
			r.rungs[r.count++].action = action(one);
		}
		if (auth_grants_allow(g, permission(rules[i].fallback), &r) != rules[i].allowed)
			fail_msg("row %zu: [%s] default %s, %s: expected %d", i, rules[i].grants,
			         rules[i].fallback, rules[i].requirement, rules[i].allowed);
		auth_grants_free(g);
	}
}

static void views_of_mlflow(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		struct auth_grants *g = grants_of(views[i].grants);
		enum auth_resource type = AUTH_WORKSPACE;
		struct auth_view view;
		char seen[8] = "";
		char *to = seen;

		assert_true(auth_resource_parse(views[i].type, &type));
		auth_grants_view(&c, g, permission(views[i].fallback), type, &view);
		for (const char *id = "1239"; *id; id++) {
			bool shown = view.all;

			for (size_t n = 0; n < view.count; n++)
				shown ^= view.ids[n][0] == *id;
			if (shown)
				*to++ = *id;
		}
		if (strcmp(seen, views[i].seen))
			fail_msg("row %zu: [%s] default %s, %s: sees '%s', not '%s'", i,
			         views[i].grants, views[i].fallback, views[i].type, seen,
			         views[i].seen);
		auth_grants_free(g);
	}
}

static void effective(void **state)
{
	struct auth_grants *g = grants_of("experiment/1=DENY experiment/1=MANAGE experiment/2=EDIT"
	                                  " experiment/2=READ prompt/*=READ scorer/1=NO_PERMISSIONS");

	(void)state;
	assert_int_equal(auth_grants_effective(g, AUTH_READ, AUTH_EXPERIMENT, "1"), AUTH_DENY);
	assert_int_equal(auth_grants_effective(g, AUTH_READ, AUTH_EXPERIMENT, "2"), AUTH_EDIT);
	assert_int_equal(auth_grants_effective(g, AUTH_MANAGE, AUTH_EXPERIMENT, "2"), AUTH_MANAGE);
	assert_int_equal(auth_grants_effective(g, AUTH_READ, AUTH_EXPERIMENT, "3"), AUTH_READ);
	assert_int_equal(auth_grants_effective(g, AUTH_USE, AUTH_PROMPT, "x"), AUTH_USE);
	assert_int_equal(auth_grants_effective(g, AUTH_USE, AUTH_SCORER, "1"),
	                 AUTH_NO_PERMISSIONS);
	assert_false(auth_grants_manage_workspace(g));
	auth_grants_free(g);
	g = grants_of("workspace/*=MANAGE experiment/1=DENY");
	assert_int_equal(auth_grants_effective(g, AUTH_READ, AUTH_EXPERIMENT, "1"), AUTH_MANAGE);
	assert_true(auth_grants_manage_workspace(g));
	auth_grants_free(g);
}

/* What MLflow never writes grants nothing, and does not stop the rest from counting. */
static void foreign_rows(void **state)
{
	struct auth_grants *g = grants_of("cluster/*=MANAGE experiment/*=OWN workspace/1=MANAGE"
	                                  " run/7=MANAGE experiment/1=EDIT");
	enum auth_permission p;

	(void)state;
	assert_false(auth_grants_manage_workspace(g));
	assert_false(auth_grants_at(g, AUTH_RUN, "7", &p));
	assert_false(auth_grants_at(g, AUTH_EXPERIMENT, "2", &p));
	assert_true(auth_grants_at(g, AUTH_EXPERIMENT, "1", &p));
	assert_int_equal(p, AUTH_EDIT);
	auth_grants_free(g);
}

static void many_ids(void **state)
{
	char text[20000] = "";
	struct auth_view view;
	enum auth_permission p;
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 999; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sexperiment/%d=DENY",
		                       i ? " " : "", i * 7 % 500);
	struct auth_grants *g = grants_of(text);
	for (int i = 0; i < 510; i++)
		assert_int_equal(auth_grants_at(g, AUTH_EXPERIMENT,
		                                arena_printf(c.arena, "%d", i), &p), i < 500);
	auth_grants_view(&c, g, AUTH_READ, AUTH_EXPERIMENT, &view);
	assert_true(view.all);
	assert_int_equal(view.count, 500);
	auth_grants_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_of_mlflow), cmocka_unit_test(views_of_mlflow),
		cmocka_unit_test(effective), cmocka_unit_test(foreign_rows),
		cmocka_unit_test(many_ids),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
