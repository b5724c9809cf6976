/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
#define STACK (2u << 20)                /* instrumented frames are several times larger */
#else
#define STACK (256u << 10)
#endif

/* The creator's mask is inherited, so it is set around the creation: no signal slips in between. */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	pthread_attr_t attr;
	char shown[16];
	int error = pthread_attr_init(&attr);

	if (error) {
		errno = error;
		return -1;
	}
	error = pthread_attr_setstacksize(&attr, STACK);
	if (!error) {
		sigfillset(&all);
		/* Faults are the thread's own: blocked, they would bypass a crash reporter. */
		sigdelset(&all, SIGSEGV);
		sigdelset(&all, SIGBUS);
		sigdelset(&all, SIGFPE);
		sigdelset(&all, SIGILL);
		sigdelset(&all, SIGABRT);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = pthread_create(ret, &attr, fn, arg);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	if (error) {
		errno = error;
		return -1;
	}
	snprintf(shown, sizeof(shown), "%.15s", name);
	pthread_setname_np(*ret, shown);        /* only for people reading ps: may fail */
	return 0;
}
