/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* clock — wall time for records, monotonic time for every deadline and duration. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);            /* since 1970, CLOCK_REALTIME */
int64_t clock_ms(void);                 /* CLOCK_MONOTONIC */
int64_t clock_us(void);                 /* CLOCK_MONOTONIC */

#endif
