/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "exchange/source.h"

#include <stddef.h>

#define FLAG_0 0u
#define FLAG_DEFAULT SOURCE_DEFAULT
#define FLAG_NULLABLE SOURCE_NULLABLE
#define FLAG_NULL_IS_NAN SOURCE_NULL_IS_NAN
#define FLAG_RUN_ID SOURCE_RUN_ID
#define FLAG_INT2 SOURCE_INT2
#define FLAG_INT4 SOURCE_INT4
#define FLAG_LIFECYCLE SOURCE_LIFECYCLE
#define FLAG_RUN_STATUS SOURCE_RUN_STATUS
#define FLAG_STAGE SOURCE_STAGE
#define FLAG_VERSION_STATUS SOURCE_VERSION_STATUS
#define FLAG_WEBHOOK_STATUS SOURCE_WEBHOOK_STATUS

const struct source_table_info source_tables[SOURCE_TABLES] = {
#define TABLE(table, text) [SOURCE_##table].name = text,
#define COLUMN(table, index, name, type, flags) \
	[SOURCE_##table].columns[index] = { #name, SOURCE_##type, FLAG_##flags },
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
};

unsigned source_columns(enum source_table table)
{
	unsigned count = 0;

	while (count < SOURCE_COLUMNS_MAX && source_tables[table].columns[count].name)
		count++;
	return count;
}

static const struct source_ops *const all[] = { &source_postgres, &source_sqlite, &source_server, &source_files };

struct source *source_open(struct ctx *c, const struct source_options *o)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (all[i]->accepts(o->uri))
			return all[i]->open(c, o);
	}
	fail(c, INVALID_PARAMETER_VALUE,
	     "Nothing to import from at '%s': give a postgresql:// or sqlite:/// URI, a directory of mlruns, or the "
	     "http(s):// URL of a server.",
	     o->uri);
	return NULL;
}
