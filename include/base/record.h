/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * record — a struct described once. The table serves JSON in, query string in, JSON out and SQL
 * rows.
 *
 * Members: strings are `const char *`; scalars are pointers (`const int64_t *`, `const double *`,
 * `const bool *`), NULL = absent; nested objects are pointers to their struct; lists are `struct
 * list`. All memory is the ctx's arena's (strings of a request point into its body, which is
 * changed in place).
 *
 * Reading follows protobuf-JSON as MLflow uses it (protos.json_format.ParseDict and handlers.py
 * _get_request_message): int64 also as string and as 12.0, doubles also as string and "NaN",
 * "Infinity", raw NaN/Infinity literals, unknown members ignored, camelCase spelling accepted (both
 * spellings at once refused), null = absent, the last of duplicate keys wins. Stricter: invalid
 * UTF-8, lone surrogates, \u0000, numbers out of range and anything after the value are refused.
 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct list {
	void *items;                    /* count elements, contiguous */
	size_t count;
};

/* Element i of a list of `type`. */
#define LIST_AT(type, l, i) (&((type *)(l)->items)[i])

enum field_type {
	FIELD_STRING,                   /* const char * */
	FIELD_INT64,                    /* const int64_t * */
	FIELD_DOUBLE,                   /* const double * */
	FIELD_BOOL,                     /* const bool * */
	FIELD_ENUM,                     /* const char *: one of names[] ("RUNNING", or its number) */
	FIELD_OBJECT,                   /* struct x * described by .record */
	FIELD_LIST,                     /* struct list of structs described by .record */
	FIELD_STRINGS,                  /* struct list of const char * */
	FIELD_RAW,                      /* const char *: JSON text passed through unread (validated) / written as it is */
};

enum field_flags {
	REQUIRED = 1 << 0,              /* absent or "": "Missing value for required parameter 'x'." */
	ALIAS = 1 << 1,                 /* an accepted other name (run_uuid) of the field before it; not written */
	INPUT_ONLY = 1 << 2,            /* never written */
	WHOLE = 1 << 3,                 /* RAW: where present, the text of the whole object, in the reply's arena, alone there: the reply may take it over */
};

struct record;

struct field {
	const char *name;               /* snake_case; NULL ends the table */
	enum field_type type;
	unsigned flags;
	size_t offset;
	const struct record *record;    /* OBJECT, LIST */
	const char *const *names;       /* ENUM: names[number], NULL-terminated; "" = a gap */
};

struct record {
	size_t size;                    /* sizeof the struct */
	const struct field *fields;     /* in the order in which MLflow's schema checks them */
};

#define FIELD_CHECKED(type, member, ctype) \
	(offsetof(type, member) + 0 * sizeof((ctype){ 0 } == (__typeof__(((type *)0)->member)){ 0 }))
#define STRING(type, member, flags) \
	{ #member, FIELD_STRING, flags, FIELD_CHECKED(type, member, const char *), NULL, NULL }
/* ALIAS: the field before it under another name. */
#define STRING_AS(type, member, alias) \
	{ alias, FIELD_STRING, ALIAS, FIELD_CHECKED(type, member, const char *), NULL, NULL }
#define INT64(type, member, flags) \
	{ #member, FIELD_INT64, flags, FIELD_CHECKED(type, member, const int64_t *), NULL, NULL }
#define DOUBLE(type, member, flags) \
	{ #member, FIELD_DOUBLE, flags, FIELD_CHECKED(type, member, const double *), NULL, NULL }
#define BOOL(type, member, flags) \
	{ #member, FIELD_BOOL, flags, FIELD_CHECKED(type, member, const bool *), NULL, NULL }
#define ENUM(type, member, flags, values) \
	{ #member, FIELD_ENUM, flags, FIELD_CHECKED(type, member, const char *), NULL, values }
#define OBJECT(type, member, flags, rec) \
	{ #member, FIELD_OBJECT, flags, offsetof(type, member), rec, NULL }
#define LIST(type, member, flags, rec) \
	{ #member, FIELD_LIST, flags, offsetof(type, member), rec, NULL }
#define STRINGS(type, member, flags) \
	{ #member, FIELD_STRINGS, flags, offsetof(type, member), NULL, NULL }
#define RAW(type, member, flags) \
	{ #member, FIELD_RAW, flags, FIELD_CHECKED(type, member, const char *), NULL, NULL }
#define END { NULL, FIELD_STRING, 0, 0, NULL, NULL }

/*
 * Reads a JSON object into the zeroed struct `out`. `text` has `size` bytes and a writable byte
 * after them; it is changed (strings are unescaped and terminated in place) and must outlive `out`.
 * An empty body counts as {}. A JSON string that holds JSON is unwrapped once (old clients).
 * -1: INVALID_PARAMETER_VALUE with MLflow's texts:
 *   "Missing value for required parameter 'x'. See the API docs for more information about request
 * parameters." "Invalid value 123 for parameter 'name' supplied:  Hint: Value was of type 'int'.
 * See the API docs ..." (top level; fields are judged in table order), and "metrics[3].key" style
 * paths inside of lists; or MALFORMED_REQUEST/400 for what is not JSON, with the byte position.
 */
int record_read(struct ctx *c, const struct record *r, char *text, size_t size,
		void *out) MUST_CHECK;

/* One query or path argument, value already percent-decoded; unknown names are ignored. A repeated
   scalar keeps its first value, lists gather them. `value` must outlive `out`. */
int record_set(struct ctx *c, const struct record *r, const char *name, const char *value,
	       void *out) MUST_CHECK;

/* The REQUIRED fields, after record_set() calls (record_read() includes it). */
int record_check(struct ctx *c, const struct record *r, const void *out) MUST_CHECK;

/* Writes {...}: absent members and empty lists are left out. */
void record_write(struct buf *to, const struct record *r, const void *in);

/* Boxes: a scalar's address in the arena, for members that are pointers. */
const int64_t *box_int64(struct arena *a, int64_t v);
const double *box_double(struct arena *a, double v);
const bool *box_bool(struct arena *a, bool v);

/* One growing list: returns the new zeroed element. `capacity` is the caller's, 0 at first. */
void *list_add(struct arena *a, struct list *l, size_t *capacity, size_t element_size);

#endif
