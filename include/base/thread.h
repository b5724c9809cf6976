/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* thread — small-stack named threads, all signals blocked (the main thread alone handles signals).
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* 0, or -1 with errno. Name: at most 15 bytes. Stack: 256 KiB (more under sanitizers). */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg);

#endif
