/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * facts — to which experiment a run or logged model belongs, kept in memory: that never changes, and
 * event threads decide over writes by it without a database. A bounded number; threads share it.
 */
#ifndef HTTP_FACTS_H
#define HTTP_FACTS_H

#include <stdbool.h>
#include <stdint.h>

enum fact_kind { FACT_RUN = 'r', FACT_LOGGED_MODEL = 'm' };

struct facts;

struct facts *facts_new(void);          /* NULL: no memory */
void facts_free(struct facts *f);

bool facts_get(struct facts *f, enum fact_kind kind, const char *id, int64_t *experiment);
void facts_put(struct facts *f, enum fact_kind kind, const char *id, int64_t experiment);

#endif
