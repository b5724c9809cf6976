/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* source_marks — tells the sink where groups end, for sources that read rows sorted by their group. */
#ifndef EXCHANGE_SOURCE_MARKS_H
#define EXCHANGE_SOURCE_MARKS_H

#include "exchange/source.h"

struct source_marks {
	enum source_table table;
	const struct source_sink *to;
	size_t rows;                    /* since the last mark */
	size_t size;
	bool known;                     /* group: of the row before */
	char group[SOURCE_POSITION_MAX + 1];
};

/* Gives one row to the sink, after a mark where it begins a new group and there were rows enough. */
int source_marks_row(struct ctx *c, struct source_marks *m, const struct source_value *row);

#endif
