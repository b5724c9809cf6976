/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * JSON into structs: one pass over the text, no tree. What is not JSON ends it at once; a value of
 * the wrong type is remembered per field until its object ends, because MLflow judges fields in the
 * order of its schema and not in the order of the text.
 */
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "record_impl.h"
#include "record_scan.h"

enum { MAX_FIELDS = 64 };               /* bits of the sets below */

/* Where an object or value is, for messages: "metrics[3]". */
struct place {
	const struct place *in;         /* NULL: the whole body */
	const char *name;
	size_t index;
	bool is_element;
};

struct object {
	const struct record *record;
	char *out;
	const struct place *place;
	uint64_t seen;                  /* spelled as in the table */
	uint64_t camel;                 /* spelled in camelCase */
	uint64_t aliased;               /* value comes from an ALIAS */
	const char **problems;          /* per field; NULL: none yet */
	int next;                       /* the field expected next */
};

static enum result read_object(struct reader *r, const struct record *record, void *out,
                               const struct place *place);

/* ---- messages ---- */

static void add_place(struct buf *to, const struct place *p)
{
	if (p->in)
		add_place(to, p->in);
	if (p->is_element) {
		buf_addf(to, "[%zu]", p->index);
	} else {
		if (p->in)
			buf_addc(to, '.');
		buf_add(to, p->name);
	}
}

static const char *place_text(struct reader *r, const struct place *p)
{
	struct buf text = BUF(r->c->arena, LIMIT_BODY);

	add_place(&text, p);
	return buf_text(&text);
}

static const char *python_type(const char *json, size_t n)
{
	switch (*json) {
	case '"':
		return "str";
	case '{':
		return "dict";
	case '[':
		return "list";
	case 't':
	case 'f':
		return "bool";
	case 'n':
		return "NoneType";
	default:
		for (size_t i = 0; i < n; i++) {
			if (strchr(".eENI", json[i]))
				return "float";
		}
		return "int";
	}
}

/* The value from `start` on, not changed yet, is not what its place takes. */
static enum result wrong(struct reader *r, char *start, const struct place *place)
{
	size_t n;

	r->at = start;
	if (record_skip_value(r))
		return READ_MALFORMED;
	n = (size_t)(r->at - start);
	r->problem = arena_printf(r->c->arena,
		"Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'."
		RECORD_HINT, record_echo(r->c->arena, start, n), place_text(r, place),
		python_type(start, n));
	return READ_WRONG;
}

/* ---- values ---- */

static char *skip_plain(char *p)
{
	while (is_plain(*p))
		p++;
	return p;
}

static char *put(char *to, uint32_t ch)
{
	if (ch < 0x80) {
		*to++ = (char)ch;
	} else if (ch < 0x800) {
		*to++ = (char)(0xc0 | ch >> 6);
		*to++ = (char)(0x80 | (ch & 0x3f));
	} else {
		if (ch < 0x10000) {
			*to++ = (char)(0xe0 | ch >> 12);
		} else {
			*to++ = (char)(0xf0 | ch >> 18);
			*to++ = (char)(0x80 | (ch >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (ch >> 6 & 0x3f));
		*to++ = (char)(0x80 | (ch & 0x3f));
	}
	return to;
}

/* At the opening quote; the text becomes a C string where it is. */
static enum result take_string(struct reader *r, const char **text, size_t *n)
{
	char *start = r->at + 1;
	char *p = skip_plain(start);
	char *to = p;

	while (*p != '"') {
		const char *from = p + 1;
		const char *why;
		uint32_t ch;
		char *end;

		if (*p != '\\')
			return malformed(r, p, *p ? "control character in a string" :
			                 "unterminated string");
		why = record_escape(&from, &ch);
		if (why)
			return malformed(r, from, why);
		to = put(to, ch);
		p += from - p;
		end = skip_plain(p);
		memmove(to, p, (size_t)(end - p));
		to += end - p;
		p = end;
	}
	*to = '\0';
	*text = start;
	*n = (size_t)(to - start);
	r->at = p + 1;
	return READ_OK;
}

/* The same without changing the body, which a message may still have to show. */
static enum result peek_string(struct reader *r, const char **text, size_t *n)
{
	char *start = r->at;
	struct reader copy = *r;

	if (record_skip_string(r))
		return READ_MALFORMED;
	*text = start + 1;
	*n = (size_t)(r->at - start) - 2;
	if (!memchr(*text, '\\', *n))
		return READ_OK;
	copy.at = arena_strndup(r->c->arena, start, *n + 2);
	return take_string(&copy, text, n);
}

static bool at_number(const struct reader *r)
{
	return *r->at == '-' || (*r->at >= '0' && *r->at <= '9');
}

/* The text of a number, bare or in quotes. READ_WRONG: something else stands there. */
static enum result number_text(struct reader *r, const char **text, size_t *n)
{
	*text = r->at;
	if (*r->at == '"')
		return peek_string(r, text, n);
	if (*r->at == 'N' || *r->at == 'I' || at_number(r)) {
		if (record_skip_scalar(r))
			return READ_MALFORMED;
		*n = (size_t)(r->at - *text);
		return READ_OK;
	}
	return READ_WRONG;
}

static enum result read_int64(struct reader *r, const int64_t **ret, const struct place *place)
{
	char *start = r->at;
	char *p = start;
	int64_t v = 0;
	const char *text;
	size_t n;
	enum result result;

	while (*p >= '0' && *p <= '9' && p - start < 18)
		v = v * 10 + (*p++ - '0');
	if (p > start && *start != '0' && (*p == ',' || *p == '}')) {
		r->at = p;
		*ret = box_int64(r->c->arena, v);
		return READ_OK;
	}
	result = number_text(r, &text, &n);
	if (result == READ_MALFORMED)
		return result;
	if (result == READ_WRONG || number_int64(text, n, &v) != NUMBER_OK)
		return wrong(r, start, place);
	*ret = box_int64(r->c->arena, v);
	return READ_OK;
}

static enum result read_double(struct reader *r, const double **ret, const struct place *place)
{
	char *start = r->at;
	const char *text;
	size_t n;
	double v;
	enum result result;

	if (*start == 't' || *start == 'f') {   /* Python's True is 1.0 */
		v = *start == 't';
		if (record_skip_scalar(r))
			return READ_MALFORMED;
		*ret = box_double(r->c->arena, v);
		return READ_OK;
	}
	result = number_text(r, &text, &n);
	if (result == READ_MALFORMED)
		return result;
	if (result == READ_WRONG || number_double(text, n, &v) != NUMBER_OK)
		return wrong(r, start, place);
	*ret = box_double(r->c->arena, v);
	return READ_OK;
}

static enum result read_bool(struct reader *r, const bool **ret, const struct place *place)
{
	bool v = *r->at == 't';

	if (!v && *r->at != 'f')
		return wrong(r, r->at, place);
	if (record_skip_scalar(r))
		return READ_MALFORMED;
	*ret = box_bool(r->c->arena, v);
	return READ_OK;
}

/* An unknown name is ignored as MLflow does, unless the handler counts on a value; an unknown
   number is an error there, too. */
static enum result read_enum(struct reader *r, const struct field *f, const char **ret,
                             const struct place *place)
{
	char *start = r->at;
	const char *text;
	size_t n;
	int64_t number;
	enum result result = number_text(r, &text, &n);
	int i = -1;

	if (result == READ_MALFORMED)
		return result;
	if (result == READ_OK && *start == '"')
		i = record_enum(f, text, n);
	if (i >= 0) {
		*ret = f->names[i];
		return READ_OK;
	}
	if (result == READ_OK && number_int64(text, n, &number) == NUMBER_OK)
		*ret = record_enum_number(f, number);
	else if (result == READ_OK && *start == '"' && !(f->flags & REQUIRED))
		return READ_OK;
	return *ret ? READ_OK : wrong(r, start, place);
}

static enum result read_raw(struct reader *r, const char **ret)
{
	char *start = r->at;
	enum result result;

	r->strict = true;
	result = record_skip_value(r);
	r->strict = false;
	if (!result)
		*ret = arena_strndup(r->c->arena, start, (size_t)(r->at - start));
	return result;
}

static enum result read_sub_object(struct reader *r, const struct field *f, void **ret,
                                   const struct place *place)
{
	if (*r->at != '{')
		return wrong(r, r->at, place);
	*ret = arena_alloc(r->c->arena, f->record->size);
	return read_object(r, f->record, *ret, place);
}

/* Behind an element: 1 another follows, 0 the list is closed, -1 malformed. */
static int next_element(struct reader *r)
{
	spaces(r);
	if (*r->at == ',') {
		r->at++;
		spaces(r);
		return 1;
	}
	if (*r->at != ']') {
		malformed(r, r->at, "',' or ']' expected");
		return -1;
	}
	r->at++;
	r->depth--;
	return 0;
}

static enum result read_list(struct reader *r, const struct field *f, struct list *l,
                             const struct place *place)
{
	struct place element = { .in = place, .is_element = true };
	size_t capacity = 0;
	const char *problem = NULL;
	int more = 1;

	if (*r->at != '[')
		return wrong(r, r->at, place);
	if (record_enter(r))
		return READ_MALFORMED;
	if (*r->at == ']') {
		l->items = arena_alloc(r->c->arena, 0);         /* present, though empty */
		more = next_element(r);
	}
	for (; more > 0; more = next_element(r)) {
		enum result result;

		if (problem)            /* the first one is reported: only the syntax matters now */
			result = record_skip_value(r);
		else if (*r->at != '{')
			result = wrong(r, r->at, &element);
		else
			result = read_object(r, f->record, list_add(r->c->arena, l, &capacity,
			                     f->record->size), &element);
		if (result == READ_MALFORMED)
			return result;
		if (result == READ_WRONG)
			problem = r->problem;
		element.index++;
	}
	r->problem = problem;
	return more < 0 ? READ_MALFORMED : problem ? READ_WRONG : READ_OK;
}

/* MLflow shows the whole list when an element is no string: look at all, then change them. */
static enum result read_strings(struct reader *r, struct list *l, const struct place *place)
{
	char *start = r->at;
	size_t count = 0;
	bool all = true;
	int more = 1;

	if (*r->at != '[')
		return wrong(r, r->at, place);
	if (record_enter(r))
		return READ_MALFORMED;
	if (*r->at == ']')
		more = next_element(r);
	for (; more > 0; more = next_element(r)) {
		all &= *r->at == '"';
		count++;
		if (record_skip_value(r))
			return READ_MALFORMED;
	}
	if (more < 0)
		return READ_MALFORMED;
	if (!all)
		return wrong(r, start, place);
	l->items = NEW_ARRAY(r->c->arena, count, const char *);
	r->at = start;
	for (record_enter(r); l->count < count; next_element(r)) {
		size_t n;

		if (take_string(r, LIST_AT(const char *, l, l->count++), &n))
			return READ_MALFORMED;
	}
	if (!count)
		next_element(r);
	return READ_OK;
}

static enum result read_value(struct reader *r, const struct field *f, void *member,
                              const struct place *place)
{
	size_t n;

	/* "" counts as missing, of whatever type: the caller sees no value and judges. */
	if (f->flags & REQUIRED && r->at[0] == '"' && r->at[1] == '"') {
		r->at += 2;
		return READ_OK;
	}
	switch (f->type) {
	case FIELD_STRING:
		return *r->at == '"' ? take_string(r, member, &n) : wrong(r, r->at, place);
	case FIELD_INT64:
		return read_int64(r, member, place);
	case FIELD_DOUBLE:
		return read_double(r, member, place);
	case FIELD_BOOL:
		return read_bool(r, member, place);
	case FIELD_ENUM:
		return read_enum(r, f, member, place);
	case FIELD_OBJECT:
		return read_sub_object(r, f, member, place);
	case FIELD_LIST:
		return read_list(r, f, member, place);
	case FIELD_STRINGS:
		return read_strings(r, member, place);
	case FIELD_RAW:
		return read_raw(r, member);
	}
	return READ_MALFORMED;
}

/* ---- objects ---- */

static bool is_spelled(const char *name, const char *key, size_t n)
{
	return *name == *key && !strncmp(name, key, n) && !name[n];
}

/* run_id as runId, by protobuf's rule. */
static bool is_camel(const char *name, const char *key)
{
	for (; *name; name++, key++) {
		char ch = *name;

		if (ch == '_') {
			ch = *++name;
			if (ch >= 'a' && ch <= 'z')
				ch = (char)(ch - 'a' + 'A');
		}
		if (*key != ch)
			return false;
	}
	return !*key;
}

/* Index of the field named by the key, -1: unknown. Members mostly come in the table's order. */
static int find_field(struct object *o, const char *key, size_t n, bool *camel)
{
	const struct field *f = o->record->fields;
	int i;

	*camel = false;
	if (f[o->next].name && is_spelled(f[o->next].name, key, n))
		return o->next++;
	for (i = 0; f[i].name; i++) {
		if (is_spelled(f[i].name, key, n)) {
			o->next = i + 1;
			return i;
		}
	}
	*camel = true;
	for (i = 0; f[i].name; i++) {
		if (is_camel(f[i].name, key))
			return i;
	}
	return -1;
}

static void clear(const struct field *f, void *member)
{
	if (f->type == FIELD_LIST || f->type == FIELD_STRINGS)
		*(struct list *)member = (struct list){ 0 };
	else
		memset(member, 0, sizeof(void *));
}

static void note_spelling(struct reader *r, struct object *o, int i, bool camel, const char *key)
{
	const char *name = o->record->fields[i].name;
	uint64_t bit = UINT64_C(1) << i;

	if (camel)
		o->camel |= bit;
	else
		o->seen |= bit;
	if (!(o->camel & o->seen & bit) || r->conflict)
		return;
	if (!camel) {                   /* the key is the plain spelling: make the other one */
		char *p = arena_strdup(r->c->arena, name);

		key = p;
		for (const char *from = name; *from; from++) {
			if (*from == '_' && *++from >= 'a' && *from <= 'z')
				*p++ = (char)(*from - 'a' + 'A');
			else
				*p++ = *from;
		}
		*p = '\0';
	}
	r->conflict = arena_printf(r->c->arena, "Request specifies both '%s' and '%s'; "
	                           "provide only one of them.", name, key);
}

/*
 * The value of field i, which may repeat (the last one wins) or be an ALIAS of the field before it
 * (used when that one has no value).
 */
static enum result read_member(struct reader *r, struct object *o, int i, bool again)
{
	const struct field *fields = o->record->fields;
	int target = i;
	bool alias, keep;
	uint64_t bit;
	void *member;
	enum result result;

	while (fields[target].flags & ALIAS)
		target--;
	alias = target != i;
	bit = UINT64_C(1) << target;
	member = record_member(&fields[target], o->out);
	keep = alias && !record_absent(&fields[target], o->out) && !(o->aliased & bit);
	if (keep)
		return record_skip_value(r);
	if (*r->at == 'n') {
		if (again && !(o->aliased & bit && !alias)) {
			clear(&fields[target], member);
			if (o->problems)
				o->problems[target] = NULL;
		}
		return record_skip_scalar(r);
	}
	struct place place = { .in = o->place, .name = fields[target].name };

	clear(&fields[target], member);
	if (o->problems && (again || !alias))
		o->problems[target] = NULL;
	o->aliased = alias ? o->aliased | bit : o->aliased & ~bit;
	result = read_value(r, &fields[target], member, &place);
	if (result == READ_WRONG) {
		if (!o->problems)
			o->problems = NEW_ARRAY(r->c->arena, MAX_FIELDS, const char *);
		o->problems[target] = r->problem;
		return READ_OK;
	}
	return result;
}

/* In the table's order, as MLflow's schemas are. */
static enum result judge(struct reader *r, const struct object *o)
{
	const struct field *f = o->record->fields;

	for (int i = 0; f[i].name; i++) {
		if (o->problems && o->problems[i]) {
			r->problem = o->problems[i];
			return READ_WRONG;
		}
		if (f[i].flags & REQUIRED && record_absent(&f[i], o->out)) {
			struct place place = { .in = o->place, .name = f[i].name };

			r->problem = arena_printf(r->c->arena,
				"Missing value for required parameter '%s'." RECORD_HINT,
				place_text(r, &place));
			return READ_WRONG;
		}
	}
	return READ_OK;
}

static enum result read_pair(struct reader *r, struct object *o)
{
	const char *key;
	size_t n;
	bool camel, again;
	int i;

	if (*r->at != '"')
		return malformed(r, r->at, "member name expected");
	if (take_string(r, &key, &n) || record_colon(r))
		return READ_MALFORMED;
	i = find_field(o, key, n, &camel);
	if (i < 0)
		return record_skip_value(r);
	assert(i < MAX_FIELDS);
	again = ((o->seen | o->camel) & UINT64_C(1) << i) != 0;
	note_spelling(r, o, i, camel, key);
	return read_member(r, o, i, again);
}

/* At the "{". */
static enum result read_object(struct reader *r, const struct record *record, void *out,
                               const struct place *place)
{
	struct object o = { .record = record, .out = out, .place = place };

	if (record_enter(r))
		return READ_MALFORMED;
	if (*r->at != '}') {
		for (;;) {
			if (read_pair(r, &o))
				return READ_MALFORMED;
			spaces(r);
			if (*r->at != ',')
				break;
			r->at++;
			spaces(r);
		}
		if (*r->at != '}')
			return malformed(r, r->at, "',' or '}' expected");
	}
	r->at++;
	r->depth--;
	return judge(r, &o);
}

static int read_body(struct ctx *c, const struct record *record, char *text, void *out, bool nested)
{
	struct reader r = { .c = c, .start = text, .at = text };
	enum result result;
	char *start;

	spaces(&r);
	if (!*r.at)
		return record_check(c, record, out);
	start = r.at;
	if (*start == '{') {
		result = read_object(&r, record, out, NULL);
	} else if (*start == '"' && !nested) {
		const char *inner;
		size_t n;

		result = take_string(&r, &inner, &n);
	} else {
		result = record_skip_value(&r);
	}
	if (result == READ_MALFORMED)
		return -1;
	spaces(&r);
	if (*r.at)
		return malformed(&r, r.at, "text after the value");
	if (*start == '"' && !nested)   /* old clients encode twice */
		return read_body(c, record, start + 1, out, true);
	if (*start == 'n')
		return record_check(c, record, out);
	if (*start != '{')
		return fail(c, MALFORMED_REQUEST, "Request body must be a JSON object, not '%s'.",
		            python_type(start, strlen(start)));
	if (r.conflict)
		return fail(c, INVALID_PARAMETER_VALUE, "%s", r.conflict);
	if (result == READ_WRONG)
		return fail(c, INVALID_PARAMETER_VALUE, "%s", r.problem);
	return 0;
}

static size_t first_invalid(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		size_t n = 1;

		while (n <= 4 && n <= size - at && !utf8_valid(text + at, n))
			n++;
		if (n > 4 || n > size - at)
			break;
		at += n;
	}
	return at;
}

int record_read(struct ctx *c, const struct record *r, char *text, size_t size, void *out)
{
	text[size] = '\0';
	if (!utf8_valid(text, size))
		return fail(c, MALFORMED_REQUEST, "Request body is not valid UTF-8 at byte %zu.",
		            first_invalid(text, size));
	return read_body(c, r, text, out, false);
}
