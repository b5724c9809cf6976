/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Binary rows to records. Text is not copied: libpq ends every value with a NUL, so members point
 * into the result. */

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "internal.h"

enum oid {
	OID_BOOL = 16,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_JSON = 114,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_TEXTS = 1009,
	OID_VARCHARS = 1015,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

#define DECODER(name)                                                                              \
	static void name(struct ctx *c, const struct field *f, const char *data, int size,         \
			 void *member)

static uint16_t read16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static uint32_t read32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t read64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static int64_t read_integer(const char *data, int size)
{
	switch (size) {
	case 2:
		return (int16_t)read16(data);
	case 4:
		return (int32_t)read32(data);
	default:
		assert(size == 8);
		return (int64_t)read64(data);
	}
}

DECODER(integer_to_int64)
{
	(void)f;
	*(const int64_t **)member = box_int64(c->arena, read_integer(data, size));
}

/* MLflow's experiment ids are numbers inside, strings outside. */
DECODER(integer_to_string)
{
	(void)f;
	*(const char **)member =
		arena_printf(c->arena, "%lld", (long long)read_integer(data, size));
}

static const char *enum_name(const struct field *f, int64_t number)
{
	for (int64_t i = 0; f->names[i]; i++) {
		if (i == number)
			return *f->names[i] ? f->names[i] : NULL;
	}
	return NULL;
}

DECODER(integer_to_enum)
{
	(void)c;
	*(const char **)member = enum_name(f, read_integer(data, size));
}

DECODER(bool_to_enum)
{
	(void)c, (void)size;
	*(const char **)member = enum_name(f, *data != 0);
}

DECODER(bool_to_bool)
{
	(void)f, (void)size;
	*(const bool **)member = box_bool(c->arena, *data != 0);
}

DECODER(float8_to_double)
{
	uint64_t bits = read64(data);
	double v;

	(void)f, (void)size;
	memcpy(&v, &bits, sizeof(v));
	*(const double **)member = box_double(c->arena, v);
}

DECODER(float4_to_double)
{
	uint32_t bits = read32(data);
	float v;

	(void)f, (void)size;
	memcpy(&v, &bits, sizeof(v));
	*(const double **)member = box_double(c->arena, (double)v);
}

DECODER(text_to_string)
{
	(void)c, (void)f, (void)size;
	*(const char **)member = data;
}

/* One byte of version, then the text. */
DECODER(jsonb_to_raw)
{
	(void)c, (void)f;
	assert(size > 0 && data[0] == 1);
	(void)size;
	*(const char **)member = data + 1;
}

DECODER(uuid_to_string)
{
	char *hex = arena_alloc(c->arena, 33);

	(void)f;
	assert(size == 16);
	(void)size;
	id_format_uuid((const uint8_t *)data, hex);
	*(const char **)member = hex;
}

DECODER(texts_to_strings)
{
	struct list *l = member;
	const char *end = data + size;
	const char **items;
	uint32_t count;

	(void)f, (void)end;
	assert(size >= 12);
	if (read32(data) == 0)          /* no dimension: empty */
		return;
	assert(read32(data) == 1 && size >= 20);
	count = read32(data + 12);
	items = NEW_ARRAY(c->arena, count, const char *);
	data += 20;
	for (uint32_t i = 0; i < count; i++) {
		int32_t n;

		assert(end - data >= 4);
		n = (int32_t)read32(data);
		data += 4;
		if (n < 0)
			continue;       /* SQL NULL */
		assert(n <= end - data);
		items[i] = arena_strndup(c->arena, data, (size_t)n);
		data += n;
	}
	*l = (struct list){ .items = items, .count = count };
}

static const struct how {
	enum field_type field;
	enum oid oid;
	void (*decode)(struct ctx *, const struct field *, const char *, int, void *);
	bool borrows;
} hows[] = {
	{ FIELD_STRING, OID_TEXT, text_to_string, true },
	{ FIELD_STRING, OID_VARCHAR, text_to_string, true },
	{ FIELD_STRING, OID_NAME, text_to_string, true },
	{ FIELD_STRING, OID_BPCHAR, text_to_string, true },
	{ FIELD_STRING, OID_UUID, uuid_to_string, false },
	{ FIELD_STRING, OID_INT8, integer_to_string, false },
	{ FIELD_STRING, OID_INT4, integer_to_string, false },
	{ FIELD_INT64, OID_INT8, integer_to_int64, false },
	{ FIELD_INT64, OID_INT4, integer_to_int64, false },
	{ FIELD_INT64, OID_INT2, integer_to_int64, false },
	{ FIELD_DOUBLE, OID_FLOAT8, float8_to_double, false },
	{ FIELD_DOUBLE, OID_FLOAT4, float4_to_double, false },
	{ FIELD_BOOL, OID_BOOL, bool_to_bool, false },
	{ FIELD_ENUM, OID_INT2, integer_to_enum, false },
	{ FIELD_ENUM, OID_INT4, integer_to_enum, false },
	{ FIELD_ENUM, OID_INT8, integer_to_enum, false },
	{ FIELD_ENUM, OID_BOOL, bool_to_enum, false },
	{ FIELD_ENUM, OID_TEXT, text_to_string, true },
	{ FIELD_ENUM, OID_VARCHAR, text_to_string, true },
	{ FIELD_RAW, OID_JSON, text_to_string, true },
	{ FIELD_RAW, OID_TEXT, text_to_string, true },
	{ FIELD_RAW, OID_JSONB, jsonb_to_raw, true },
	{ FIELD_STRINGS, OID_TEXTS, texts_to_strings, false },
	{ FIELD_STRINGS, OID_VARCHARS, texts_to_strings, false },
};

static const struct how *find_how(enum field_type type, Oid oid)
{
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		if (hows[i].field == type && (Oid)hows[i].oid == oid)
			return &hows[i];
	}
	return NULL;
}

static const struct field *find_field(const struct record *r, const char *name)
{
	for (const struct field *f = r->fields; f->name; f++) {
		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

/* A statement and a record that do not fit each other: no test would have let it pass. */
static _Noreturn void mismatch(const char *column, unsigned oid)
{
	fprintf(stderr, "db: column \"%s\" of type %u fits no field of its record\n", column, oid);
	abort();
}

bool mapping_make(struct mapping *m, const PGresult *result, const struct record *record)
{
	int n = PQnfields(result);

	if (m->record == record && m->count == n)
		return true;
	mapping_free(m);
	m->columns = calloc((size_t)n + 1, sizeof(*m->columns));
	if (!m->columns)
		return false;
	for (int i = 0; i < n; i++) {
		const struct field *f = find_field(record, PQfname(result, i));
		const struct how *how = f ? find_how(f->type, PQftype(result, i)) : NULL;

		if (!how || PQfformat(result, i) != 1)
			mismatch(PQfname(result, i), PQftype(result, i));
		m->columns[i] = (struct column){ f, how->decode };
		m->borrows = m->borrows || how->borrows;
	}
	m->count = n;
	m->record = record;
	return true;
}

void mapping_free(struct mapping *m)
{
	free(m->columns);
	*m = (struct mapping){ 0 };
}

void decode_row(struct ctx *c, const struct mapping *m, const PGresult *result, int row, void *out)
{
	for (int i = 0; i < m->count; i++) {
		const struct column *column = &m->columns[i];
		int size = PQgetlength(result, row, i);

		if (!size && PQgetisnull(result, row, i))
			continue;
		column->decode(c, column->field, PQgetvalue(result, row, i), size,
		               (char *)out + column->field->offset);
	}
}
