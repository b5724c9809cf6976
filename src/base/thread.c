/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* ---- pace ---- */

enum { PROMPT_NS = 100000, BULK_NICE = 5 };

/* As the kernel's struct sched_attr, which the libc may or may not declare. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Since Linux 6.12 a turn's length says how soon it begins; before, it is ignored. Without one it is the kernel's own. */
static void set_turn(uint64_t ns)
{
	struct attributes a = { 0 };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) || a.policy != 0)
		return;
	a.runtime = ns;
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void thread_pace(enum thread_pace pace)
{
	int nice;

	set_turn(pace == THREAD_PROMPT ? PROMPT_NS : 0);
	if (pace != THREAD_BULK)
		return;
	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	if (!errno && nice < BULK_NICE)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), BULK_NICE);
}
