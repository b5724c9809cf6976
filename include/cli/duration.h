/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* duration — "1d2h3m4s" with decimals, as `mlflow gc --older-than` takes it. */
#ifndef CLI_DURATION_H
#define CLI_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Days, hours, minutes, seconds: each at most once, in this order. False: not one (or beyond a
   million years). */
bool cli_duration_parse(const char *text, int64_t *ret_ms);

#endif
