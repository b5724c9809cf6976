/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What an import did, for people and for programs. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "exchange/import.h"

static const char *const kind_keys[] = {
#define X(name, key, text) [IMPORT_ISSUE_##name] = key,
	IMPORT_ISSUES(X)
#undef X
};

static const char *const kind_texts[] = {
#define X(name, key, text) [IMPORT_ISSUE_##name] = text,
	IMPORT_ISSUES(X)
#undef X
};

static double rate(const struct import_report *r)
{
	return r->point_seconds > 0 ? (double)r->points / r->point_seconds : 0;
}

static void add_examples(struct buf *b, const char *lines)
{
	while (*lines) {
		size_t size = strcspn(lines, "\n");
		buf_add(b, "      ");
		buf_addn(b, lines, size);
		buf_addc(b, '\n');
		lines += size + (lines[size] != 0);
	}
}

static void add_verdict(struct buf *b, const struct import_report *r)
{
	if (!r->verified) {
		buf_add(b, "Nothing was written (dry run).\n");
		return;
	}
	if (r->agrees) {
		buf_addf(b, "Verified: counts and checksums of source and target agree in all tables (%.1f s).\n",
			 r->verify_seconds);
		return;
	}
	buf_add(b, "VERIFICATION FAILED:\n");
	for (int t = 0; t < SOURCE_TABLES; t++) {
		const struct import_table_report *i = &r->tables[t];
		const char *name = source_tables[t].name;
		if (i->agrees)
			continue;
		if (i->expected >= 0 && i->expected != i->read)
			buf_addf(b, "  %s: the source has %" PRId64 " rows, %" PRId64
				    " were read: it changed meanwhile. Run the import again.\n",
				 name, i->expected, i->read);
		else
			buf_addf(b, "  %s: %" PRId64 " rows taken (checksum %016" PRIx64 "), %" PRId64
				    " here (checksum %016" PRIx64 ")\n",
				 name, i->written + i->present, i->checksum, i->target_rows, i->target_checksum);
	}
}

const char *import_report_text(struct ctx *c, const struct import_report *r)
{
	struct buf b = BUF(c->arena, LIMIT_BODY);

	buf_addf(&b, "%s, %s\n%s\n\n", r->source.kind, r->source.version ? r->source.version : "", r->source.uri);
	buf_addf(&b, "  %-26s%12s%12s%12s%12s\n", "", "read", "new", "was here", "left out");
	for (int t = 0; t < SOURCE_TABLES; t++) {
		const struct import_table_report *i = &r->tables[t];
		if (i->read)
			buf_addf(&b, "  %-26s%12" PRId64 "%12" PRId64 "%12" PRId64 "%12" PRId64 "\n",
				 source_tables[t].name, i->read, i->written, i->present, r->verified ? i->left_out : 0);
	}
	if (r->issues.count)
		buf_add(&b, "\nRows that are not as they should be:\n");
	for (size_t k = 0; k < r->issues.count; k++) {
		const struct import_report_issue *i = LIST_AT(struct import_report_issue, &r->issues, k);
		buf_addf(&b, "  %s: %" PRId64 " %s\n", i->table, i->rows, kind_texts[i->kind]);
		add_examples(&b, i->examples);
	}
	bool any = false;
	for (size_t k = 0; k < r->source.left.count; k++) {
		const struct source_left *left = LIST_AT(struct source_left, &r->source.left, k);
		if (left->rows && !any)
			buf_add(&b, "\nNot taken, since there is no such thing here:\n");
		any = any || left->rows;
		if (left->rows)
			buf_addf(&b, "  %-26s%12" PRId64 "\n", left->name, left->rows);
	}
	for (size_t k = 0; k < r->source.notes.count; k++)
		buf_addf(&b, "\n%s\n", *LIST_AT(const char *, &r->source.notes, k));
	buf_addf(&b, "\n%.1f s in all%s", r->seconds, r->resumed ? ", after a run that was cut" : "");
	if (r->points && r->point_seconds > 0)
		buf_addf(&b, "; %" PRId64 " points in %.1f s: %.0f a second", r->points, r->point_seconds, rate(r));
	buf_add(&b, ".\n");
	add_verdict(&b, r);
	return buf_text(&b);
}

static void add_member(struct buf *b, const char *name, const char *text)
{
	buf_addf(b, "\"%s\": ", name);
	buf_add_json_string(b, text ? text : "");
	buf_add(b, ", ");
}

static void add_table(struct buf *b, const struct import_report *r, int t)
{
	const struct import_table_report *i = &r->tables[t];

	buf_addf(b,
		 "%s\n    {\"table\": \"%s\", \"expected\": %" PRId64 ", \"read\": %" PRId64 ", \"written\": %" PRId64
		 ", \"present\": %" PRId64 ", \"left_out\": %" PRId64 ", \"checksum\": \"%016" PRIx64 "\"",
		 t ? "," : "", source_tables[t].name, i->expected, i->read, i->written, i->present,
		 r->verified ? i->left_out : 0, i->checksum);
	if (r->verified)
		buf_addf(b, ", \"target_rows\": %" PRId64 ", \"target_checksum\": \"%016" PRIx64 "\", \"agrees\": %s",
			 i->target_rows, i->target_checksum, i->agrees ? "true" : "false");
	buf_addc(b, '}');
}

static void add_issue(struct buf *b, const struct import_report_issue *i, bool first)
{
	buf_addf(b, "%s\n    {\"table\": \"%s\", \"kind\": \"%s\", \"rows\": %" PRId64 ", \"examples\": [",
		 first ? "" : ",", i->table, kind_keys[i->kind], i->rows);
	for (const char *p = i->examples; *p;) {
		size_t size = strcspn(p, "\n");
		if (p != i->examples)
			buf_add(b, ", ");
		buf_add_json_stringn(b, p, size);
		p += size + (p[size] != 0);
	}
	buf_add(b, "]}");
}

const char *import_report_json(struct ctx *c, const struct import_report *r)
{
	struct buf b = BUF(c->arena, LIMIT_BODY);

	buf_add(&b, "{");
	add_member(&b, "source", r->source.uri);
	add_member(&b, "kind", r->source.kind);
	add_member(&b, "version", r->source.version);
	buf_addf(&b,
		 "\"resumed\": %s, \"verified\": %s, \"agrees\": %s, \"seconds\": %.3f, \"points\": %" PRId64
		 ", \"point_seconds\": %.3f, \"points_per_second\": %.0f, \"verify_seconds\": %.3f,\n  \"tables\": [",
		 r->resumed ? "true" : "false", r->verified ? "true" : "false", r->agrees ? "true" : "false", r->seconds,
		 r->points, r->point_seconds, rate(r), r->verify_seconds);
	for (int t = 0; t < SOURCE_TABLES; t++)
		add_table(&b, r, t);
	buf_add(&b, "],\n  \"issues\": [");
	for (size_t k = 0; k < r->issues.count; k++)
		add_issue(&b, LIST_AT(struct import_report_issue, &r->issues, k), k == 0);
	buf_add(&b, "],\n  \"not_taken\": [");
	for (size_t k = 0; k < r->source.left.count; k++) {
		const struct source_left *left = LIST_AT(struct source_left, &r->source.left, k);
		buf_addf(&b, "%s{", k ? ", " : "");
		add_member(&b, "table", left->name);
		buf_addf(&b, "\"rows\": %" PRId64 "}", left->rows);
	}
	buf_add(&b, "]}\n");
	return buf_text(&b);
}
