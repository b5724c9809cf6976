/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* text — values as MLflow's messages show them, for clients that look for parts of messages. */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include <stddef.h>

struct buf;

/* Python's repr() of a string: 'it', "it's", 'a\nb'. */
void store_text_repr(struct buf *to, const char *s);

/* json.dumps() of a string: ASCII only, "\u00e4". */
void store_text_json(struct buf *to, const char *s);

/* repr() of a float: 1.0, 1e-05, nan, inf. */
void store_text_float(struct buf *to, double v);

#endif
