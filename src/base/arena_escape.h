/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What longjmp() tells work_run(); never 0. */
#ifndef BASE_ARENA_ESCAPE_H
#define BASE_ARENA_ESCAPE_H

enum arena_escape {
	ARENA_MEMORY = 1,               /* the machine has none */
	ARENA_LIMIT,                    /* this work wanted more than it may have */
};

#endif
