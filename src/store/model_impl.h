/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model_impl — what the registry's store files share. */
#ifndef STORE_MODEL_IMPL_H
#define STORE_MODEL_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/event.h"

struct model_version_key;
struct registered_model;
struct model_version;

/* A locked row of registered_models. */
struct model_row {
	const int64_t *id;
	const bool *prompt;
	const char *name;
};
extern const struct record model_row_record;

/*
 * Queues the lock of a model's row, by giving it its next revision: every change of what a search
 * shows of the model or its versions does that. The statements that follow see what was committed
 * before it was granted, so they name the model again. Every change that has more than one statement
 * takes this lock first, and no other row's before it.
 */
void model_lock_queue(struct ctx *c, const char *name, struct list *rows);
/* The same for what writes history: it sets the time of the move. */
void model_lock_move_queue(struct ctx *c, const char *name, int64_t now, struct list *rows);
/* Against everything, for what changes the name or ends the model: in the order of names. */
void model_lock_names_queue(struct ctx *c, const char *const *names, size_t count,
                            struct list *rows);

int model_missing(struct ctx *c, const char *name);
int model_version_missing(struct ctx *c, const char *name, const char *version);

/* One whole message; queued statements go along. 1, or 0: it is gone. */
int model_load(struct ctx *c, int64_t id, struct registered_model **ret) MUST_CHECK;
int model_version_load(struct ctx *c, int64_t model, int64_t version,
                       struct model_version **ret) MUST_CHECK;

struct tag_arrays {
	const char **keys;
	const char **values;
};
struct tag_arrays model_tags(struct ctx *c, const struct list *tags);

/* ---- moves: model_move.c ---- */

/* The time of a move of the model, under model_lock_move_queue(). */
#define MODEL_MOVE_TIME(id_) "(SELECT last_move FROM registered_models WHERE id = " id_ ")"

/* The aliases of a version (0: of all) and its stage end. */
void model_moves_end_queue(struct ctx *c, int64_t model, const char *name, int64_t version,
                           const char *reason);

/* ---- events: model_event.c ---- */

/*
 * Nobody listens: then the frequent changes are one round trip, without a transaction around it in
 * which the event could follow.
 */
#define MODEL_EVENTS_UNHEARD "NOT EXISTS (SELECT FROM webhook_events)"

void model_event_created(struct ctx *c, bool prompt, const char *name, const struct list *tags,
                         const char *description);

struct version_created {
	const char *name;
	const char *version;
	const char *source;
	const char *run_id;
	const struct list *tags;
	const char *description;
};
void model_event_version_created(struct ctx *c, bool prompt, const struct version_created *v);

/* Absent members are NULL. */
void model_event_tag(struct ctx *c, enum store_event e, const char *name, const char *version,
                     const char *key, const char *value);
void model_event_alias(struct ctx *c, enum store_event e, const char *name, const char *alias,
                       const char *version);

#endif
