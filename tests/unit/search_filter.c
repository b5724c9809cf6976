/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What each filter means (its SQL condition with the arguments written in), and each error text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "search/search.h"

#include <cmocka.h>

static const int64_t one_experiment[] = { 1 };

static void write_texts(struct buf *b, const struct db_arg *a)
{
	for (size_t i = 0; i < a->array.count; i++)
		buf_addf(b, "%s'%s'", i ? "," : "[", ((const char *const *)a->array.items)[i]);
	buf_add(b, a->array.count ? "]" : "[]");
}

static void write_arg(struct buf *b, const struct db_arg *a)
{
	switch (a->type) {
	case 'i':
		buf_add_int64(b, a->integer);
		return;
	case 'd':
		buf_addf(b, "%.17g", a->real);
		return;
	case 'T':
	case 'U':
		write_texts(b, a);
		return;
	case 'I':
		for (size_t i = 0; i < a->array.count; i++)
			buf_addf(b, "%s%ld", i ? "," : "[",
				 (long)((const int64_t *)a->array.items)[i]);
		buf_addc(b, ']');
		return;
	default:
		buf_addf(b, "'%s'", a->text);
	}
}

/* The condition after the scope, arguments in place; EXISTS and key lookups shortened. */
static const char *condition(struct ctx *c, const struct search_page *p, enum search_entity e)
{
	static const char *const scopes[] = { "true AND NOT e.deleted",
					      "r.experiment_id = $1 AND NOT r.deleted",
					      "l.experiment_id = $1 AND NOT l.deleted" };
	const char *s = strstr(p->sql, scopes[e]);
	const char *end = strstr(s, " ORDER BY k1");
	struct buf out = BUF(c->arena, 1 << 20);
	s += strlen(scopes[e]);
	if (!strncmp(s, " AND ", 5))
		s += 5;
	while (s < end) {
		if (*s != '$') {
			buf_addc(&out, *s++);
			continue;
		}
		size_t n = strtoul(s + 1, (char **)&s, 10);
		assert_in_range(n, 1, p->args.count);
		write_arg(&out, &p->args.items[n - 1]);
	}
	return buf_text(&out);
}

static int build(struct ctx *c, enum search_entity e, const char *filter, struct search_page *p)
{
	struct search_query q = { .entity = e,
				  .view = VIEW_ACTIVE,
				  .filter = filter,
				  .experiment_ids = one_experiment,
				  .experiment_count = 1,
				  .max_results = 10,
				  .token_key = "k" };
	return search_build(c, &q, p);
}

struct means {
	const char *filter;
	const char *sql;
};

static void check_means(enum search_entity e, const struct means *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena *a = arena_new(16 << 20);
		struct ctx c = { .arena = a };
		struct search_page p;
		if (build(&c, e, rows[i].filter, &p))
			fail_msg("%s: %s", rows[i].filter, c.error.message);
		const char *got = condition(&c, &p, e);
		if (strcmp(got, rows[i].sql))
			fail_msg("%s\n   is %s\n not %s", rows[i].filter, got, rows[i].sql);
		arena_free(a);
	}
}

struct refused {
	const char *filter;
	const char *message;
};

static void check_refused(enum search_entity e, const struct refused *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena *a = arena_new(16 << 20);
		struct ctx c = { .arena = a };
		struct search_page p;
		if (!build(&c, e, rows[i].filter, &p))
			fail_msg("accepted: %s", rows[i].filter);
		assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		if (strcmp(c.error.message, rows[i].message))
			fail_msg("%s\n   is %s\n not %s", rows[i].filter, c.error.message,
				 rows[i].message);
		arena_free(a);
	}
}

/* The index of values holds 64 characters: a shorter value is compared by it alone. */
#define TEXT_63 "012345678901234567890123456789012345678901234567890123456789012"
#define TEXT_64 TEXT_63 "3"
#define ABOVE_1 "(x.value > 1 AND x.value <> 'NaN')"
#define PROBE(key, condition) \
	"EXISTS (SELECT 1 FROM latest x WHERE x.run_id = r.id AND x.key_id = " \
	"(SELECT id FROM keys WHERE name = '" key "') AND " condition ") IS TRUE"

#define ROWS(t) (t), sizeof(t) / sizeof(*(t))

/* clang-format off */

static const struct means run_means[] = {
	{ "", "" },
	{ "AND", "" },
	{ "metrics.acc > 0.5", "(j1.value > 0.5 AND j1.value <> 'NaN')" },
	{ "metric.a.b.c<=-1e-2", "j1.value <= -0.01" },
	{ "metrics.`a b` = .5", "j1.value = 0.5" },
	{ "metrics.\"a b\" != 5.", "j1.value <> 5" },
	{ "metrics.'a b' >= 1e5", "(j1.value >= 100000 AND j1.value <> 'NaN')" },
	{ "metrics.1 < -1", "j1.value < -1" },
	{ "metrics.a = 1e400", "j1.value = inf" },
	{ "metrics.a = 1e+3", "j1.value = 1000" },
	{ "metrics.a IS NULL",
	  "NOT EXISTS (SELECT 1 FROM latest x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a'))" },
	{ "metrics.a is not null", "true" },
	{ "metrics.order > 1", "(j1.value > 1 AND j1.value <> 'NaN')" },
	{ "`metrics`.`a.b` > 1", "(j1.value > 1 AND j1.value <> 'NaN')" },
	{ "params.a = 'x'", "left(j1.value, 64) = 'x'" },
	{ "parameters.a = \"x\"", "left(j1.value, 64) = 'x'" },
	{ "param.a != 'it''s'", "j1.value <> 'it''s'" },
	{ "parameter.a = 'a\\'b'", "left(j1.value, 64) = 'a\\'b'" },
	{ "params.a = 'ends in \\' ", "left(j1.value, 64) = 'ends in \\'" },
	{ "params.a = ''", "left(j1.value, 64) = ''" },
	{ "params.a LIKE 'x%' params.a ILIKE \"%y\"",
	  "(j1.value LIKE 'x%' AND j1.value COLLATE \"default\" ILIKE '%y')" },
	{ "params.a like 'x'", "j1.value LIKE 'x'" },
	{ "params.a IN ('x', \"y\")", "left(j1.value, 64) = ANY(['x','y'])" },
	{ "params.a not in ('x',)", "j1.value <> ALL(['x'])" },
	{ "params.a = '" TEXT_63 "'", "left(j1.value, 64) = '" TEXT_63 "'" },
	{ "params.a = '" TEXT_64 "'",
	  "(left(j1.value, 64) = left('" TEXT_64 "', 64) AND j1.value = '" TEXT_64 "')" },
	{ "params.a IN ('x', '" TEXT_64 "')", "j1.value = ANY(['x','" TEXT_64 "'])" },
	{ "params.a IS NULL",
	  "NOT EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a'))" },
	{ "params.a IS NOT NULL", "true" },
	{ "params. = 'x'", "left(j1.value, 64) = 'x'" },
	{ "params.é = '日本'", "left(j1.value, 64) = '日本'" },
	{ "tags.mlflow.source = '/* x */ -- ; AND'", "left(j1.value, 64) = '/* x */ -- ; AND'" },
	{ "tag.a IN ('x')", "left(j1.value, 64) = ANY(['x'])" },
	{ "status = 'RUNNING'",
	  "((CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN "
	  "3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' WHEN 5 THEN 'KILLED' END COLLATE "
	  "\"C\")) = 'RUNNING'" },
	{ "attr.status != \"FAILED\"",
	  "((CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN "
	  "3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' WHEN 5 THEN 'KILLED' END COLLATE "
	  "\"C\")) <> 'FAILED'" },
	{ "attributes.status LIKE 'F%'",
	  "((CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN "
	  "3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' WHEN 5 THEN 'KILLED' END COLLATE "
	  "\"C\")) LIKE 'F%'" },
	{ "run.user_id = 'u'", "(r.user_id) = 'u'" },
	{ "artifact_uri LIKE '%x'",
	  "(COALESCE(r.artifact_uri, (SELECT run_uri(a.artifact_location, r.uuid) FROM "
	  "experiments a WHERE a.id = r.experiment_id)) COLLATE \"C\") LIKE '%x'" },
	{ "start_time > 5", "r.start_time > 5" },
	{ "created <= 5.5", "r.start_time <= 5" },
	{ "Created >= 5.5", "r.start_time > 5" },
	{ "start_time = 5.5", "false" },
	{ "start_time != 5.5", "r.start_time IS NOT NULL" },
	{ "start_time < 1e30", "r.start_time IS NOT NULL" },
	{ "start_time > 99999999999999999999", "false" },
	{ "end_time = 7.0", "r.end_time = 7" },
	{ "`run name` = 'a'", "(r.name) = 'a'" },
	{ "\"Run Name\" = 'a'", "(r.name) = 'a'" },
	{ "run.`Run name` = 'a'", "(r.name) = 'a'" },
	{ "run_name ILIKE 'É%'", "(r.name) COLLATE \"default\" ILIKE 'É%'" },
	{ "run_id = '00112233445566778899aabbccddeeff'",
	  "r.uuid = '00112233445566778899aabbccddeeff'" },
	{ "run_id != 'x'", "true" },
	{ "run_id = '00112233445566778899AABBCCDDEEFF'", "false" },
	{ "run_id IN ('00112233445566778899aabbccddeeff', 'x')",
	  "r.uuid = ANY(['00112233445566778899aabbccddeeff'])" },
	{ "run_id NOT IN ('x')", "r.uuid <> ALL([])" },
	{ "run_id LIKE '00%'", "replace(r.uuid::text, '-', '') LIKE '00%'" },
	{ "run_id = ('00112233445566778899aabbccddeeff')",
	  "r.uuid = '00112233445566778899aabbccddeeff'" },
	{ "dataset.name = 'x'",
	  "EXISTS (SELECT 1 FROM run_datasets y JOIN datasets x ON x.id = y.dataset_id "
	  "WHERE y.run_id = r.id AND x.name = 'x')" },
	{ "datasets.digest NOT IN ('x','y')",
	  "EXISTS (SELECT 1 FROM run_datasets y JOIN datasets x ON x.id = y.dataset_id "
	  "WHERE y.run_id = r.id AND x.digest <> ALL(['x','y']))" },
	{ "dataset.context LIKE 'tr%'",
	  "EXISTS (SELECT 1 FROM run_dataset_tags x WHERE x.run_id = r.id AND "
	  "x.name = 'mlflow.data.context' AND x.value LIKE 'tr%')" },
	{ "AND metrics.a > 1 AND AND metrics.a < 2 params.b = 'x'params.c='y'AND",
	  "(" PROBE("a", ABOVE_1) " AND " PROBE("a", "x.value < 2")
	  " AND left(j1.value, 64) = 'x' AND left(j2.value, 64) = 'y')" },
	{ "metrics.a > 1 and tags.b = 'x'\nAND params.c != 'y'",
	  "((j2.value > 1 AND j2.value <> 'NaN') AND left(j1.value, 64) = 'x' AND "
	  "EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id AND x.key_id = "
	  "(SELECT id FROM keys WHERE name = 'c') AND x.value <> 'y') IS TRUE)" },
	{ "metrics.a > 1 OR params.b = 'x'",
	  "(EXISTS (SELECT 1 FROM latest x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a') AND (x.value > 1 AND x.value "
	  "<> 'NaN')) OR EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id "
	  "AND x.key_id = (SELECT id FROM keys WHERE name = 'b') AND x.value "
	  "= 'x'))" },
	{ "metrics.a > 1 AND params.b = 'x' or tags.c = 'y' AND tags.d = 'z'",
	  "((EXISTS (SELECT 1 FROM latest x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a') AND (x.value > 1 AND x.value "
	  "<> 'NaN')) AND EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id "
	  "AND x.key_id = (SELECT id FROM keys WHERE name = 'b') AND x.value "
	  "= 'x')) OR (EXISTS (SELECT 1 FROM tags x WHERE x.run_id = r.id AND "
	  "x.key_id = (SELECT id FROM keys WHERE name = 'c') AND x.value = 'y') IS TRUE "
	  "AND EXISTS (SELECT 1 FROM tags x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'd') AND x.value = 'z') IS TRUE))" },
	{ "metrics.a > 1 AND (params.b = 'x' OR tags.c = 'y')",
	  "((j1.value > 1 AND j1.value <> 'NaN') AND (EXISTS (SELECT 1 FROM params "
	  "x WHERE x.run_id = r.id AND x.key_id = (SELECT id FROM keys WHERE "
	  "name = 'b') AND x.value = 'x') OR EXISTS (SELECT 1 FROM tags x WHERE "
	  "x.run_id = r.id AND x.key_id = (SELECT id FROM keys WHERE name = 'c') "
	  "AND x.value = 'y') IS TRUE))" },
	{ "NOT params.a = 'x'",
	  "NOT (EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a') AND x.value = 'x'))" },
	{ "not (params.a = 'x' and not tags.b is null)",
	  "NOT ((EXISTS (SELECT 1 FROM params x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'a') AND x.value = 'x') AND NOT "
	  "(NOT EXISTS (SELECT 1 FROM tags x WHERE x.run_id = r.id AND x.key_id "
	  "= (SELECT id FROM keys WHERE name = 'b')))))" },
	{ "NOT end_time > 5", "NOT ((r.end_time > 5) IS TRUE)" },
	{ "NOT NOT status = 'FAILED'",
	  "NOT (NOT (((CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' "
	  "WHEN 3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' WHEN 5 THEN 'KILLED' END "
	  "COLLATE \"C\")) = 'FAILED'))" },
	{ "((metrics.a > 1))", "(j1.value > 1 AND j1.value <> 'NaN')" },
	{ "(AND metrics.a > 1 AND) AND NOT (metrics.b > 1)",
	  "((j1.value > 1 AND j1.value <> 'NaN') AND NOT (EXISTS (SELECT 1 FROM "
	  "latest x WHERE x.run_id = r.id AND x.key_id = (SELECT id FROM keys "
	  "WHERE name = 'b') AND (x.value > 1 AND x.value <> 'NaN'))))" },
	{ "metrics.a > 1 AND metrics.b > 1 AND metrics.c > 1 AND metrics.d > "
	  "1 AND metrics.e > 1 AND metrics.a < 9",
	  "((j1.value > 1 AND j1.value <> 'NaN') AND (j2.value > 1 AND j2.value "
	  "<> 'NaN') AND " PROBE("c", ABOVE_1) " AND " PROBE("d", ABOVE_1) " AND " PROBE("e", ABOVE_1)
	  " AND j1.value < 9)" },
};

static const struct means experiment_means[] = {
	{ "name = 'x'", "(e.name) = 'x'" },
	{ "attribute.name LIKE '%x'", "(e.name) LIKE '%x'" },
	{ "`name` ILIKE \"x\"", "(e.name) COLLATE \"default\" ILIKE 'x'" },
	{ "tags.a = 'b'", "j1.value = 'b'" },
	{ "tag.`a b` != 'c'", "j1.value <> 'c'" },
	{ "tags.a IN ('b','c')", "j1.value = ANY(['b','c'])" },
	{ "tags.a IS NULL",
	  "NOT EXISTS (SELECT 1 FROM experiment_tags x WHERE x.experiment_id "
	  "= e.id AND x.key = 'a')" },
	{ "tags.a is not null", "true" },
	{ "experiment_id = '5'", "e.id = 5" },
	{ "experiment_id = ' -1 '", "e.id = -1" },
	{ "experiment_id IN ('1','2')", "e.id = ANY([1,2])" },
	{ "experiment_id not in ('1')", "e.id <> ALL([1])" },
	{ "experiment_id = ('1')", "e.id = 1" },
	{ "creation_time > 5", "e.creation_time > 5" },
	{ "last_update_time <= 12345678901234567890", "e.last_update_time IS NOT NULL" },
	{ "NOT (name = 'x' OR tags.a = 'b')",
	  "NOT (((e.name) = 'x' OR EXISTS (SELECT 1 FROM experiment_tags x WHERE "
	  "x.experiment_id = e.id AND x.key = 'a' AND x.value = 'b')))" },
	{ "AND name = 'x' AND", "(e.name) = 'x'" },
};

static const struct means model_means[] = {
	{ "metrics.a > 1",
	  "EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = l.id "
	  "AND x.key = 'a' AND (x.value > 1 AND x.value <> 'NaN'))" },
	{ "metrics.a = inf",
	  "EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = l.id "
	  "AND x.key = 'a' AND x.value = inf)" },
	{ "metrics.`a b` != -1",
	  "EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = l.id "
	  "AND x.key = 'a b' AND x.value <> -1)" },
	{ "metrics.a IS NULL",
	  "NOT EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = l.id "
	  "AND x.key = 'a')" },
	{ "params.a = 'x'", "j1.value = 'x'" },
	{ "params.lr = 0.01", "j1.value = '0.01'" },
	{ "params.a = x", "j1.value = 'x'" },
	{ "params.a = \"x\"", "j1.value = 'x'" },
	{ "params.a in ('x','y')", "j1.value = ANY(['x','y'])" },
	{ "tags.a.b like '%x'", "j1.value LIKE '%x'" },
	{ "tags.a IS NOT NULL", "true" },
	{ "name = 'm'", "(l.name) = 'm'" },
	{ "attributes.name NOT IN ('m')", "(l.name) <> ALL(['m'])" },
	{ "`name` = 'm'", "(l.name) = 'm'" },
	{ "model_id = 'm-1'", "(l.model_id) = 'm-1'" },
	{ "creation_timestamp > 5", "l.creation_time > 5" },
	{ "creation_time <= 5.5", "l.creation_time <= 5" },
	{ "attributes.last_updated_timestamp_ms = 5", "l.last_updated_time = 5" },
	{ "status = 'READY'",
	  "((CASE l.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN "
	  "'FAILED' END COLLATE \"C\")) = 'READY'" },
	{ "status IN ('LOGGED_MODEL_PENDING', '3')",
	  "((CASE l.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN "
	  "'FAILED' END COLLATE \"C\")) = ANY(['PENDING','FAILED'])" },
	{ "lifecycle_stage = 'active'",
	  "((CASE WHEN l.deleted THEN 'deleted' ELSE 'active' END COLLATE \"C\")) "
	  "= 'active'" },
	{ "experiment_id = '1'", "(l.experiment_id::text) = '1'" },
	{ "NOT model_type = 'x'", "NOT (((l.model_type) = 'x') IS TRUE)" },
	{ "NOT (metrics.a > 1 OR params.b = 'x')",
	  "NOT ((EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = "
	  "l.id AND x.key = 'a' AND (x.value > 1 AND x.value <> 'NaN')) OR EXISTS "
	  "(SELECT 1 FROM logged_model_params x WHERE x.model = l.id AND x.key "
	  "= 'b' AND x.value = 'x')))" },
	{ "AND name = 'm' params.a = 'x' AND", "((l.name) = 'm' AND j1.value = 'x')" },
};

static const struct refused run_refused[] = {
	{ "  ", "Invalid filter '  '. Could not be parsed. (at position 3)" },
	{ "metrics.a-b > 1",
	  "Invalid comparison clause. Expected 'Identifier' found 'metrics.a-b' "
	  "(at position 1)" },
	{ "metrics.a / b > 1",
	  "Invalid comparison clause. Expected 'Identifier' found 'metrics.a "
	  "/ b' (at position 1)" },
	{ "metrics.a:b > 1",
	  "Invalid clause(s) in filter string: 'metrics.a', ':', 'b', '>', '1' "
	  "(at position 10)" },
	{ "METRICS.a > 1",
	  "Invalid entity type 'METRICS'. Valid values are ['metric', 'parameter', "
	  "'tag', 'attribute', 'dataset'] (at position 1)" },
	{ "\"metrics\".a > 1",
	  "Invalid entity type '\"metrics\"'. Valid values are ['metric', 'parameter', "
	  "'tag', 'attribute', 'dataset'] (at position 1)" },
	{ "foo.bar = 'x'",
	  "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', "
	  "'tag', 'attribute', 'dataset'] (at position 1)" },
	{ "foo = 'x'",
	  "Invalid attribute key 'foo' specified. Valid keys are '{'run_id', "
	  "'run_name', 'user_id', 'status', 'start_time', 'end_time', 'artifact_uri', "
	  "'created', 'Created', 'run name', 'Run name', 'Run Name'}' (at position "
	  "1)" },
	{ "run name = 'x'",
	  "Invalid clause(s) in filter string: 'run', 'name', '=', ''x'' (at "
	  "position 5)" },
	{ "metrics.a > - 1",
	  "Invalid clause(s) in filter string: 'metrics.a', '>', '-', '1' (at "
	  "position 13)" },
	{ "metrics.a > +1",
	  "Invalid clause(s) in filter string: 'metrics.a', '>', '+', '1' (at "
	  "position 13)" },
	{ "metrics.a > 0x10",
	  "Invalid clause(s) in filter string: 'metrics.a', '>', '0x10' (at position "
	  "13)" },
	{ "metrics.a > inf", "Expected numeric value type for metric. Found inf (at position 13)" },
	{ "metrics.a > 1a", "Expected numeric value type for metric. Found 1a (at position 13)" },
	{ "metrics.a > '1'", "Expected numeric value type for metric. Found '1' (at position 13)" },
	{ "metrics.a IN (1,2)",
	  "Expected numeric value type for metric. Found (1,2) (at position 14)" },
	{ "metrics.a == 1",
	  "Invalid comparator '==' not one of '{'=', '!=', '>', '>=', '<', '<='}' "
	  "(at position 11)" },
	{ "metrics.a LIKE 1",
	  "Invalid comparator 'LIKE' not one of '{'=', '!=', '>', '>=', '<', "
	  "'<='}' (at position 11)" },
	{ "metrics.a", "Invalid clause(s) in filter string: 'metrics.a' (at position 10)" },
	{ "metrics.a >", "Invalid clause(s) in filter string: 'metrics.a', '>' (at position 12)" },
	{ "> 1", "Invalid clause(s) in filter string: '>', '1' (at position 1)" },
	{ "1 < metrics.a",
	  "Invalid comparison clause. Expected 'Identifier' found '1' (at position "
	  "1)" },
	{ "'a' = 'b'",
	  "Invalid comparison clause. Expected 'Identifier' found ''a'' (at position "
	  "1)" },
	{ "metrics.a > 1 foo", "Invalid clause(s) in filter string: 'foo' (at position 18)" },
	{ "metrics.a > 1 > 2", "Invalid clause(s) in filter string: '>', '2' (at position 15)" },
	{ "metrics.a > NULL",
	  "Expected numeric value type for metric. Found NULL (at position 13)" },
	{ "metrics.a > 1;", "Invalid clause(s) in filter string: ';' (at position 14)" },
	{ "metrics.a > 1; metrics.b > 1",
	  "Search filter contained multiple expression 'metrics.a > 1; metrics.b "
	  "> 1'. Provide AND-ed expression list. (at position 14)" },
	{ "metrics.a > 1 -- x", "Invalid clause(s) in filter string: '-- x' (at position 15)" },
	{ "metrics.a > 1 /* x */",
	  "Invalid clause(s) in filter string: '/* x */' (at position 15)" },
	{ "metrics.a > 1 # x", "Invalid clause(s) in filter string: '# x' (at position 15)" },
	{ "params.a = `x`",
	  "Parameter value is either not quoted or unidentified quote types used "
	  "for string value `x`. Use either single or double quotes. (at position "
	  "12)" },
	{ "params.a = x",
	  "Parameter value is either not quoted or unidentified quote types used "
	  "for string value x. Use either single or double quotes. (at position "
	  "12)" },
	{ "params.a = 5",
	  "Expected a quoted string value for parameter (e.g. 'my-value'). Got "
	  "value 5 (at position 12)" },
	{ "params.a = NULL",
	  "Expected a quoted string value for parameter (e.g. 'my-value'). Got "
	  "value NULL (at position 12)" },
	{ "params.a > 'x'",
	  "Invalid comparator '>' not one of '{'=', '!=', 'LIKE', 'ILIKE', 'IN', "
	  "'NOT IN', 'IS NULL', 'IS NOT NULL'}' (at position 10)" },
	{ "params.a NOT LIKE 'x'",
	  "Invalid comparator 'NOT LIKE' not one of '{'=', '!=', 'LIKE', 'ILIKE', "
	  "'IN', 'NOT IN', 'IS NULL', 'IS NOT NULL'}' (at position 10)" },
	{ "params.a RLIKE 'x'",
	  "Invalid comparator 'RLIKE' not one of '{'=', '!=', 'LIKE', 'ILIKE', "
	  "'IN', 'NOT IN', 'IS NULL', 'IS NOT NULL'}' (at position 10)" },
	{ "params.a IN 'x'",
	  "Invalid clause(s) in filter string: 'params.a', 'IN', ''x'' (at position "
	  "13)" },
	{ "params.a IN ()",
	  "While parsing a list in the query, expected a non-empty list of string "
	  "values, but got empty list (at position 13)" },
	{ "params.a IN ('x' 'y')",
	  "While parsing a list in the query, expected a non-empty list of string "
	  "values, but got ill-formed list. (at position 13)" },
	{ "params.a IN (,)",
	  "While parsing a list in the query, expected a non-empty list of string "
	  "values, but got ill-formed list. (at position 13)" },
	{ "params.a IN (1)",
	  "While parsing a list in the query, expected string value, punctuation, "
	  "or whitespace, but got different type in list: (1) (at position 13)" },
	{ "params.a IN (x)",
	  "While parsing a list in the query, expected a non-empty list of string "
	  "values, but got ill-formed list. (at position 13)" },
	{ "params.a IN ('x'",
	  "Invalid clause(s) in filter string: 'params.a', 'IN', '(', ''x'' (at "
	  "position 13)" },
	{ "params.a = ('x','y')",
	  "Expected a quoted string value for parameter (e.g. 'my-value'). Got "
	  "value ('x','y') (at position 12)" },
	{ "params.a LIKE 'x\\'",
	  "Invalid pattern 'x\\': it must not end with a backslash (at position "
	  "15)" },
	{ "params.a BETWEEN 'x' AND 'y'",
	  "Invalid clause(s) in filter string: 'params.a', 'BETWEEN', ''x'' (at "
	  "position 10)" },
	{ "params.a = 'x",
	  "Invalid clause(s) in filter string: 'params.a', '=', ''', 'x' (at "
	  "position 12)" },
	{ "params.a = \"x",
	  "Invalid clause(s) in filter string: 'params.a', '=', '\"', 'x' (at "
	  "position 12)" },
	{ "params.`a = 'x'",
	  "Invalid clause(s) in filter string: 'params.', '`', 'a', '=', ''x'' "
	  "(at position 8)" },
	{ "params.a = ‘x’",
	  "Invalid clause(s) in filter string: 'params.a', '=', '‘', 'x', '’' "
	  "(at position 12)" },
	{ "tags.a IS TRUE",
	  "Invalid clause(s) in filter string: 'tags.a', 'IS', 'TRUE' (at position "
	  "11)" },
	{ "tags.a NOT 'x'",
	  "Invalid clause(s) in filter string: 'tags.a', 'NOT', ''x'' (at position "
	  "12)" },
	{ "status IS NULL",
	  "IS NULL / IS NOT NULL is only supported for tags and params (and metrics), "
	  "not for 'attribute' 'status' (at position 8)" },
	{ "dataset.name IS NULL",
	  "IS NULL / IS NOT NULL is only supported for tags and params (and metrics), "
	  "not for 'dataset' 'name' (at position 14)" },
	{ "dataset.foo = 'x'",
	  "Invalid dataset key 'foo' specified. Valid keys are '{'name', 'digest', "
	  "'context'}' (at position 1)" },
	{ "dataset.name = 5",
	  "Expected a quoted string value for dataset attributes. Got value 5 "
	  "(at position 16)" },
	{ "dataset.name > 'x'",
	  "Invalid comparator '>' not one of '{'=', '!=', 'LIKE', 'ILIKE', 'IN', "
	  "'NOT IN'}' (at position 14)" },
	{ "status IN ('x')",
	  "Only ['run_id'] attributes support comparison with a list of quoted "
	  "string values. (at position 11)" },
	{ "status = 5",
	  "Expected a quoted string value for attributes. Got value 5 (at position "
	  "10)" },
	{ "status > 'x'",
	  "Invalid comparator '>' not one of '{'=', '!=', 'LIKE', 'ILIKE', 'IN', "
	  "'NOT IN'}' (at position 8)" },
	{ "run_id = ('a','b')",
	  "Invalid comparator '=' for a list: use IN or NOT IN (at position 8)" },
	{ "run_id IN (1)",
	  "While parsing a list in the query, expected string value, punctuation, "
	  "or whitespace, but got different type in list: (1) (at position 11)" },
	{ "start_time = '5'",
	  "Expected numeric value type for numeric attribute: start_time. Found "
	  "'5' (at position 14)" },
	{ "start_time LIKE 5",
	  "Invalid comparator 'LIKE' not one of '{'=', '!=', 'LIKE', 'ILIKE', "
	  "'IN', 'NOT IN'}' (at position 12)" },
	{ "start_time IN (1)",
	  "Expected numeric value type for numeric attribute: start_time. Found "
	  "(1) (at position 15)" },
	{ "OR", "Invalid clause(s) in filter string: 'OR' (at position 1)" },
	{ "metrics.a > 1 OR", "Invalid clause(s) in filter string: 'OR' (at position 15)" },
	{ "OR metrics.a > 1",
	  "Invalid clause(s) in filter string: 'OR', 'metrics.a', '>', '1' (at "
	  "position 1)" },
	{ "metrics.a > 1 OR AND", "Invalid clause(s) in filter string: 'OR' (at position 15)" },
	{ "NOT", "Invalid clause(s) in filter string: it ends too early (at position 4)" },
	{ "NOT AND metrics.a > 1",
	  "Invalid clause(s) in filter string: 'AND', 'metrics.a', '>', '1' (at "
	  "position 5)" },
	{ "()", "Invalid clause(s) in filter string: ')' (at position 2)" },
	{ "(metrics.a > 1",
	  "Invalid clause(s) in filter string: '(' is not closed (at position "
	  "1)" },
	{ "metrics.a > 1)", "Invalid clause(s) in filter string: ')' (at position 14)" },
	{ "metrics.a > 1 (metrics.b > 1)",
	  "Invalid clause(s) in filter string: '(', 'metrics.b', '>', '1', ')' "
	  "(at position 15)" },
	{ "metrics.a > 1 NOT metrics.b > 1",
	  "Invalid clause(s) in filter string: 'NOT', 'metrics.b', '>', '1' (at "
	  "position 15)" },
	{ "(metrics.a > 1 OR)", "Invalid clause(s) in filter string: 'OR', ')' (at position 16)" },
	{ "éé = 'x' AND ?",
	  "Invalid attribute key 'éé' specified. Valid keys are '{'run_id', "
	  "'run_name', 'user_id', 'status', 'start_time', 'end_time', 'artifact_uri', "
	  "'created', 'Created', 'run name', 'Run name', 'Run Name'}' (at position "
	  "1)" },
	{ "params.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
	  "= bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	  "bbbbbbbbbbbbbbbbb",
	  "Parameter value is either not quoted or unidentified quote types used "
	  "for string value bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.... Use "
	  "either single or double quotes. (at position 239)" },
};

static const struct refused experiment_refused[] = {
	{ "attributes.name = 'x'",
	  "Invalid entity type 'attributes'. Valid entity types are ('attribute', "
	  "'tag', 'tags') (at position 1)" },
	{ "params.a = 'x'",
	  "Invalid entity type 'params'. Valid entity types are ('attribute', "
	  "'tag', 'tags') (at position 1)" },
	{ "`tags`.a = 'x'",
	  "Invalid entity type '`tags`'. Valid entity types are ('attribute', "
	  "'tag', 'tags') (at position 1)" },
	{ "foo = 'x'",
	  "Invalid attribute key 'foo' specified. Valid keys are '{'name', 'experiment_id'"
	  ", 'creation_time', 'last_update_time'}' (at position 1)" },
	{ "name like 'x'",
	  "Invalid comparator 'like' not one of '{'=', '!=', 'LIKE', 'ILIKE', "
	  "'IN', 'NOT IN'}' (at position 6)" },
	{ "name > 'x'",
	  "Invalid comparator '>' not one of '{'=', '!=', 'LIKE', 'ILIKE', 'IN', "
	  "'NOT IN'}' (at position 6)" },
	{ "name = 5",
	  "Expected a quoted string value for attributes. Got value 5 (at position "
	  "8)" },
	{ "name IN ('x')",
	  "Only ['experiment_id'] attributes support comparison with a list of "
	  "quoted string values. (at position 9)" },
	{ "name IS NULL",
	  "IS NULL / IS NOT NULL is only supported for tags, not for attribute "
	  "'name' (at position 6)" },
	{ "tags.a like 'x'", "Invalid comparator for tag: like (at position 8)" },
	{ "tags.a > 'x'", "Invalid comparator for tag: > (at position 8)" },
	{ "tags.a = 5",
	  "Expected a quoted string value for tag (e.g. 'my-value'). Got value "
	  "5 (at position 10)" },
	{ "creation_time > 5.5",
	  "Invalid value for numeric attribute 'creation_time': '5.5' (at position "
	  "17)" },
	{ "creation_time > 'x'",
	  "Expected numeric value type for numeric attribute: creation_time. "
	  "Found 'x' (at position 17)" },
	{ "creation_time LIKE 5",
	  "Invalid comparator 'LIKE' not one of '{'=', '!=', 'LIKE', 'ILIKE', "
	  "'IN', 'NOT IN'}' (at position 15)" },
	{ "experiment_id = 1",
	  "Expected a quoted string value for attributes. Got value 1 (at position "
	  "17)" },
	{ "experiment_id > '1'", "Invalid comparator for experiment_id: > (at position 15)" },
	{ "experiment_id LIKE '1'", "Invalid comparator for experiment_id: LIKE (at position 15)" },
	{ "experiment_id = 'x'",
	  "Invalid experiment ID 'x'. Experiment ID must be a valid integer. "
	  "(at position 17)" },
	{ "experiment_id = '99999999999999999999'",
	  "Invalid experiment ID '99999999999999999999'. Experiment ID must be "
	  "a valid integer. (at position 17)" },
	{ "experiment_id IN ('1','1.5')",
	  "Invalid experiment ID '1.5'. Experiment ID must be a valid integer. "
	  "(at position 18)" },
	{ "name = 'x' OR", "Invalid clause(s) in filter string: OR (at position 12)" },
	{ "name", "Invalid clause(s) in filter string: name (at position 5)" },
};

static const struct refused model_refused[] = {
	{ "  ", "Invalid filter string: '  '. Expected a single SQL expression. (at position 3)" },
	{ "metric.a > 1",
	  "Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', "
	  "'params', 'tags']. (at position 1)" },
	{ "foo = 'x'",
	  "Invalid attribute key 'foo' specified. Valid keys are '{'name', 'model_id', "
	  "'creation_timestamp', 'creation_timestamp_ms', 'creation_time', 'last_updated_t"
	  "imestamp', 'last_updated_timestamp_ms', 'experiment_id', 'status', "
	  "'status_message', 'model_type', 'source_run_id', 'artifact_location', "
	  "'lifecycle_stage'}' (at position 1)" },
	{ "metrics.a == 1",
	  "Invalid comparison operator for metrics.a: '=='. Expected one of ('<', "
	  "'<=', '>', '>=', '=', '!='). (at position 11)" },
	{ "metrics.a LIKE 'x'",
	  "Invalid comparison operator for metrics.a: 'LIKE'. Expected one of "
	  "('<', '<=', '>', '>=', '=', '!='). (at position 11)" },
	{ "metrics.a > '1'",
	  "Invalid value for metrics.a: '1'. Expected a number. (at position "
	  "13)" },
	{ "metrics.a IN (1)",
	  "Invalid comparison operator for metrics.a: 'IN'. Expected one of ('<', "
	  "'<=', '>', '>=', '=', '!='). (at position 11)" },
	{ "params.a > 'x'",
	  "Invalid comparison operator for params.a: '>'. Expected one of ('=', "
	  "'!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'). (at position 10)" },
	{ "params.a = ('x')",
	  "Invalid value for params.a: ('x'). A list needs IN or NOT IN. (at "
	  "position 12)" },
	{ "params.a IN (1)",
	  "While parsing a list in the query, expected string value, punctuation, "
	  "or whitespace, but got different type in list: (1) (at position 13)" },
	{ "name IS NULL",
	  "IS NULL / IS NOT NULL is only supported for tags and params (and metrics), "
	  "not for 'attribute' 'name' (at position 6)" },
	{ "name = 'x';",
	  "Invalid filter string: 'name = 'x';'. Expected a list of comparisons "
	  "separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01'). "
	  "(at position 11)" },
	{ "name = 'x'; name = 'y'",
	  "Invalid filter string: 'name = 'x'; name = 'y''. Expected a single "
	  "SQL expression. (at position 11)" },
	{ "name = 'x' OR",
	  "Invalid filter string: 'name = 'x' OR'. Expected a list of comparisons "
	  "separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01'). "
	  "(at position 12)" },
	{ "name",
	  "Invalid filter string: 'name'. Expected a list of comparisons separated "
	  "by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01'). (at position "
	  "5)" },
	{ "1 = 1",
	  "Invalid filter string: '1 = 1'. Expected a list of comparisons separated "
	  "by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01'). (at position "
	  "1)" },
};

/* clang-format on */

static void test_runs(void **state)
{
	(void)state;
	check_means(SEARCH_RUNS, ROWS(run_means));
}

static void test_experiments(void **state)
{
	(void)state;
	check_means(SEARCH_EXPERIMENTS, ROWS(experiment_means));
}

static void test_models(void **state)
{
	(void)state;
	check_means(SEARCH_LOGGED_MODELS, ROWS(model_means));
}

static void test_refused(void **state)
{
	(void)state;
	check_refused(SEARCH_RUNS, ROWS(run_refused));
	check_refused(SEARCH_EXPERIMENTS, ROWS(experiment_refused));
	check_refused(SEARCH_LOGGED_MODELS, ROWS(model_refused));
}

static char *repeat(const char *unit, size_t times, const char *middle, const char *end_unit)
{
	size_t n = strlen(unit);
	size_t m = strlen(end_unit);
	char *s = calloc(1, (n + m) * times + strlen(middle) + 1);
	char *to = s;
	for (size_t i = 0; i < times; i++, to += n)
		memcpy(to, unit, n);
	to = stpcpy(to, middle);
	for (size_t i = 0; i < times; i++, to += m)
		memcpy(to, end_unit, m);
	return s;
}

static void check_limit(char *filter, const char *start_of_error)
{
	struct arena *a = arena_new(32 << 20);
	struct ctx c = { .arena = a };
	struct search_page p;
	int64_t start = clock_ms();
	int got = build(&c, SEARCH_RUNS, filter, &p);
	assert_true(clock_ms() - start < 5000);
	assert_int_equal(got, start_of_error ? -1 : 0);
	if (start_of_error && strncmp(c.error.message, start_of_error, strlen(start_of_error)))
		fail_msg("%s", c.error.message);
	arena_free(a);
	free(filter);
}

static void test_limits(void **state)
{
	(void)state;
	const char *deep = "Filter is nested more than 32 levels deep";
	check_limit(repeat("(", LIMIT_FILTER_DEPTH, "metrics.a > 1", ")"), NULL);
	check_limit(repeat("(", LIMIT_FILTER_DEPTH + 1, "metrics.a > 1", ")"), deep);
	check_limit(repeat("NOT ", LIMIT_FILTER_DEPTH + 1, "metrics.a > 1", ""), deep);
	check_limit(repeat("(", 60000, "", ""), deep);
	check_limit(repeat("(", 1000000, "metrics.a > 1", ")"), "Filter string is longer than");
	check_limit(repeat("metrics.a > 1 AND ", LIMIT_FILTER_TERMS, "", ""), NULL);
	check_limit(repeat("metrics.a > 1 ", LIMIT_FILTER_TERMS + 1, "", ""),
		    "Filter has more than 200 comparisons");
	check_limit(repeat("AND ", 16000, "", ""), NULL);
	check_limit(repeat("(AND ", 12000, "", ""), deep);
	check_limit(repeat("/*", 32000, "", ""), "Invalid clause(s) in filter string");
	check_limit(repeat("'", 65535, "", ""), "Invalid clause(s) in filter string");
	check_limit(repeat("`\"'", 21000, "", ""), "Invalid");
	check_limit(repeat("é", 32768, "", ""), "Invalid clause(s) in filter string");
}

/* Client text never reaches the SQL: only arguments carry it. */
static void test_no_text_in_sql(void **state)
{
	(void)state;
	static const char *const filters[] = {
		"metrics.zqx > 1 AND params.zqx = 'zqx' AND tags.zqx LIKE 'zqx%'",
		"NOT (params.`zqx` IN ('zqx','zqx2') OR tags.\"zqx; DROP\" ILIKE \"zqx\")",
		"run_id = 'zqx' OR run_id IN ('zqx') OR run_id LIKE 'zqx%'",
		"dataset.name = 'zqx' AND dataset.context != 'zqx' AND status = 'zqx'",
		"artifact_uri LIKE 'zqx' AND user_id = 'zqx' OR `run name` = 'zqx'",
	};
	const char *order[] = { "metrics.zqx DESC", "params.zqx", "tags.`zqx`" };
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		struct arena *a = arena_new(16 << 20);
		struct ctx c = { .arena = a };
		struct search_page p;
		struct search_query q = { .entity = SEARCH_RUNS,
					  .view = VIEW_ALL,
					  .filter = filters[i],
					  .experiment_ids = one_experiment,
					  .experiment_count = 1,
					  .order_by = { order, 3 },
					  .max_results = 10,
					  .token_key = "k" };
		assert_int_equal(search_build(&c, &q, &p), 0);
		assert_null(strstr(p.sql, "zqx"));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),   cmocka_unit_test(test_experiments),
		cmocka_unit_test(test_models), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_no_text_in_sql),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
