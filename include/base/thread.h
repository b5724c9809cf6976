/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* thread — small-stack named threads, all signals blocked (the main thread alone handles signals).
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* 0, or -1 with errno. Name: at most 15 bytes. Stack: 256 KiB (more under sanitizers). */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg);

/*
 * How the calling thread, and what it starts from then on, competes for cores. PROMPT: somebody waits for its short turns,
 * so it is let in soon. BULK: moves bytes or computes at length, in long turns, and gets less while others want to run.
 * A matter of taste for the kernel, which may know nothing of it.
 */
enum thread_pace { THREAD_PROMPT, THREAD_BULK };

void thread_pace(enum thread_pace pace);

#endif
