/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Arguments in PostgreSQL's binary format: big-endian numbers, arrays of one dimension. */

#include <assert.h>
#include <endian.h>
#include <limits.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "internal.h"

enum { ARRAY_HEADER = 20, ARRAY_EMPTY = 12 };

static const struct type {
	char letter;
	Oid scalar, array;
} types[] = {
	{ 't', 25, 1009 }, { 'i', 20, 1016 }, { 'n', 23, 1007 },
	{ 'd', 701, 1022 }, { 'b', 16, 1000 }, { 'u', 2950, 2951 },
};

Oid encode_type(char letter)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (letter == types[i].letter)
			return types[i].scalar;
		if (letter == types[i].letter - 'a' + 'A')
			return types[i].array;
	}
	assert(false && "unknown argument type");
	return 0;
}

static bool is_array(const struct db_arg *arg)
{
	return arg->type < 'a';
}

static char element_letter(const struct db_arg *arg)
{
	return (char)(arg->type - 'A' + 'a');
}

/* Element i as an argument of its own. */
static struct db_arg element(const struct db_arg *arg, size_t i)
{
	struct db_arg e = { .type = element_letter(arg) };

	if (arg->array.nulls && arg->array.nulls[i]) {
		e.null = true;
		return e;
	}
	switch (arg->type) {
	case 'T':
	case 'U':
		e.text = ((const char *const *)arg->array.items)[i];
		e.null = !e.text;
		break;
	case 'I':
		e.integer = ((const int64_t *)arg->array.items)[i];
		break;
	case 'N':
		e.integer = ((const int32_t *)arg->array.items)[i];
		break;
	case 'D':
		e.real = ((const double *)arg->array.items)[i];
		break;
	default:
		e.boolean = ((const bool *)arg->array.items)[i];
	}
	return e;
}

bool encode_null(const struct db_arg *arg)
{
	uint8_t uuid[16];

	return arg->null || (arg->type == 'u' && !id_parse_uuid(arg->text, uuid));
}

size_t encode_size(const struct db_arg *arg)
{
	size_t size;

	switch (arg->type) {
	case 't':
		return strlen(arg->text);
	case 'u':
		return 16;
	case 'i':
	case 'd':
		return 8;
	case 'n':
		return 4;
	case 'b':
		return 1;
	default:
		break;
	}
	assert(is_array(arg) && arg->array.count <= INT32_MAX / 8);
	if (arg->array.count == 0)
		return ARRAY_EMPTY;
	size = ARRAY_HEADER;
	for (size_t i = 0; i < arg->array.count; i++) {
		struct db_arg e = element(arg, i);

		size += 4 + (encode_null(&e) ? 0 : encode_size(&e));
	}
	return size;
}

char *encode_int16(char *to, int16_t v)
{
	uint16_t big = htobe16((uint16_t)v);

	memcpy(to, &big, sizeof(big));
	return to + sizeof(big);
}

char *encode_int32(char *to, int32_t v)
{
	uint32_t big = htobe32((uint32_t)v);

	memcpy(to, &big, sizeof(big));
	return to + sizeof(big);
}

static char *write_uint64(char *to, uint64_t v)
{
	v = htobe64(v);
	memcpy(to, &v, sizeof(v));
	return to + sizeof(v);
}

static char *write_scalar(char *to, const struct db_arg *arg)
{
	uint8_t uuid[16] = { 0 };
	uint64_t bits;
	size_t n;

	switch (arg->type) {
	case 't':
		n = strlen(arg->text);
		memcpy(to, arg->text, n);
		return to + n;
	case 'u':
		id_parse_uuid(arg->text, uuid);
		memcpy(to, uuid, sizeof(uuid));
		return to + sizeof(uuid);
	case 'i':
		return write_uint64(to, (uint64_t)arg->integer);
	case 'n':
		assert(arg->integer >= INT32_MIN && arg->integer <= INT32_MAX);
		return encode_int32(to, (int32_t)arg->integer);
	case 'd':
		memcpy(&bits, &arg->real, sizeof(bits));
		return write_uint64(to, bits);
	default:
		assert(arg->type == 'b');
		*to = arg->boolean;
		return to + 1;
	}
}

static char *write_array(char *to, const struct db_arg *arg)
{
	char *has_nulls = to + 4;

	to = encode_int32(to, arg->array.count > 0);
	to = encode_int32(to, 0);
	to = encode_int32(to, (int32_t)encode_type(element_letter(arg)));
	if (arg->array.count == 0)
		return to;
	to = encode_int32(to, (int32_t)arg->array.count);
	to = encode_int32(to, 1);
	for (size_t i = 0; i < arg->array.count; i++) {
		struct db_arg e = element(arg, i);

		if (encode_null(&e)) {
			to = encode_int32(to, -1);
			encode_int32(has_nulls, 1);
		} else {
			to = encode_int32(to, (int32_t)encode_size(&e));
			to = write_scalar(to, &e);
		}
	}
	return to;
}

char *encode_write(char *to, const struct db_arg *arg)
{
	return is_array(arg) ? write_array(to, arg) : write_scalar(to, arg);
}

void encode_params(struct arena *a, struct db_args args, struct params *ret)
{
	size_t n = args.count, total = 0;
	char *to;

	*ret = (struct params){ .count = (int)n };
	if (n == 0)
		return;
	assert(n <= 32767);
	ret->values = NEW_ARRAY(a, n, const char *);
	ret->lengths = NEW_ARRAY(a, n, int);
	ret->formats = NEW_ARRAY(a, n, int);
	for (size_t i = 0; i < n; i++) {
		size_t size = encode_null(&args.items[i]) ? 0 : encode_size(&args.items[i]);

		assert(size <= INT32_MAX && total <= SIZE_MAX - size);
		ret->lengths[i] = (int)size;
		ret->formats[i] = 1;
		total += size;
	}
	to = arena_alloc(a, total + 1);
	for (size_t i = 0; i < n; i++) {
		if (encode_null(&args.items[i]))
			continue;
		ret->values[i] = to;
		to = encode_write(to, &args.items[i]);
		assert(to == ret->values[i] + ret->lengths[i]);
	}
}
