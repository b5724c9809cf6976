/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* clock — wall time for records, monotonic time for every deadline and duration. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

int64_t clock_wall_ms(void);            /* since 1970, CLOCK_REALTIME */
int64_t clock_ms(void);                 /* CLOCK_MONOTONIC */
int64_t clock_us(void);                 /* CLOCK_MONOTONIC */

/* So many ms from now, of CLOCK_MONOTONIC: until when a condition is waited for
   (pthread_cond_clockwait(), or pthread_cond_timedwait() of a condition that has this clock). */
struct timespec clock_deadline(int64_t ms);

#endif
