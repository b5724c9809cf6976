/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * fault — preloaded into the daemon: makes its calls to the libc fail when the test says so, and writes down what it
 * calls. The test and we share one file (CAPSTAN_FAULT_CONTROL, shim.py), so that rules change while the daemon runs.
 * PostgreSQL is started with an environment of its own and never sees us.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES = 8, PATH = 512, EVENTS = 32768, EVENT_PATH = 208 };

/* In the order of shim.FUNCTIONS. */
enum function { MALLOC, WRITE, FSYNC, OPEN, LINK, RENAME, MKDIR, COPY, SEND, RECV, READ, UNLINK };

/* In the order of shim.SCOPES: which descriptors a rule is about. */
enum scope { ANY, FILES, LOCAL_SOCKET, CLIENT };

/* In the order of shim.ACTIONS. */
enum action {
	FAIL,
	AFTERWARDS,                     /* does it, then says that it failed: an unknown outcome */
	SHORT,                          /* does half of it */
	CUT,                            /* the connection is gone, both ways */
};

struct rule {
	_Atomic uint32_t on;
	uint32_t function, scope, action;
	int32_t error, unused;
	uint64_t first, last;           /* which calls, counted from 1 */
	_Atomic uint64_t seen, hit;
};

struct event {
	_Atomic uint32_t whole;
	uint32_t function;
	int32_t error;                  /* 0: it worked */
	int32_t port;                   /* the client's, of SEND */
	uint64_t inode;                 /* of the descriptor; of what was named by LINK and RENAME */
	char path[EVENT_PATH];          /* of the descriptor, with what is named in it; SEND: the bytes */
};

struct control {
	_Atomic uint32_t functions;     /* bit set: of those that have a rule or are written down */
	_Atomic uint32_t logging;       /* the same, of those that are written down */
	char path[PATH];                /* what FILES means */
	struct rule rules[RULES];
	_Atomic uint64_t events;
	struct event event[EVENTS];
};

static struct control *control;
static bool trace;                      /* CAPSTAN_FAULT_TRACE: say where each refused allocation was asked for */

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("CAPSTAN_FAULT_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p == MAP_FAILED) {
		fputs("fault: no CAPSTAN_FAULT_CONTROL\n", stderr);
		_exit(125);
	}
	trace = getenv("CAPSTAN_FAULT_TRACE");
	if (trace)
		backtrace((void *[1]){ 0 }, 1);         /* the first one allocates */
	control = p;
}

static bool watched(enum function f)
{
	return control && atomic_load_explicit(&control->functions, memory_order_acquire) >> f & 1;
}

/* ---- which descriptors ---- */

static void name_of(int fd, char *to, size_t size)
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, to, size - 1);
	to[n > 0 ? n : 0] = '\0';
}

static bool below(const char *path)
{
	size_t n = strlen(control->path);

	return strncmp(path, control->path, n) == 0;
}

static int family(int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &size) ? AF_UNSPEC : a.ss_family;
}

static bool in_scope(enum scope s, int fd, const char *path)
{
	char name[4200];
	int f;

	switch (s) {
	case FILES:
		if (path && *path == '/')
			return below(path);
		name_of(fd, name, sizeof(name));
		return below(name);
	case LOCAL_SOCKET:
		return family(fd) == AF_UNIX;
	case CLIENT:
		f = family(fd);
		return f == AF_INET || f == AF_INET6;
	default:
		return true;
	}
}

/* ---- rules ---- */

/* The rule that this call falls under, if its turn has come. */
static const struct rule *find(enum function f, int fd, const char *path)
{
	int saved = errno;

	for (int i = 0; i < RULES; i++) {
		struct rule *r = &control->rules[i];
		uint64_t n;

		if (!atomic_load_explicit(&r->on, memory_order_acquire) || r->function != f ||
		    !in_scope(r->scope, fd, path))
			continue;
		n = atomic_fetch_add(&r->seen, 1) + 1;
		if (n < r->first || n > r->last)
			continue;
		atomic_fetch_add(&r->hit, 1);
		errno = saved;
		return r;
	}
	errno = saved;
	return NULL;
}

static int peer_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &size))
		return 0;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

/* Of SEND `name` is what is sent. To be called before a send and after anything else. */
static void note(enum function f, int fd, const char *name, int error)
{
	int saved = errno;
	struct event *e;
	uint64_t at;
	struct stat st;

	if (!(atomic_load_explicit(&control->logging, memory_order_acquire) >> f & 1) ||
	    (f == SEND && family(fd) == AF_UNIX)) {
		errno = saved;
		return;
	}
	at = atomic_fetch_add(&control->events, 1);
	if (at < EVENTS) {
		e = &control->event[at];
		e->function = f;
		e->error = error;
		/* Of what got the name, not of its directory. */
		if (f == LINK || f == RENAME)
			e->inode = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
		else
			e->inode = fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
		if (f == SEND) {
			e->port = peer_port(fd);
			snprintf(e->path, sizeof(e->path), "%.64s", name);
		} else {
			char dir[EVENT_PATH] = "";

			if (fd >= 0)
				name_of(fd, dir, sizeof(dir));
			snprintf(e->path, sizeof(e->path), "%.140s%s%.60s", dir, *name ? "/" : "", name);
		}
		atomic_store_explicit(&e->whole, 1, memory_order_release);
	}
	errno = saved;
}

/* ---- the calls ---- */

#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
		real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* Of a call that answers -1 and errno; `call` is evaluated at most once. */
#define GUARD(f, fd, path, name, call) \
	__extension__({ \
		const struct rule *r_ = find((f), (fd), (path)); \
		long result_ = -1; \
		if (!r_ || r_->action == AFTERWARDS) \
			result_ = (call); \
		if (r_) { \
			result_ = -1; \
			errno = r_->error; \
		} \
		note((f), (fd), (name), result_ < 0 ? errno : 0); \
		result_; \
	})

/* The same of one that moves n bytes; `call` may use `n`. */
#define GUARD_BYTES(f, fd, n, call) \
	__extension__({ \
		const struct rule *r_ = find((f), (fd), NULL); \
		long result_ = -1; \
		if (r_ && r_->action == SHORT && (n) > 1) \
			(n) /= 2; \
		if (!r_ || r_->action == AFTERWARDS || r_->action == SHORT) \
			result_ = (call); \
		if (r_ && r_->action == CUT) \
			shutdown((fd), SHUT_RDWR); \
		if (r_ && r_->action != SHORT) { \
			result_ = -1; \
			errno = r_->error; \
		} \
		result_; \
	})

ssize_t write(int fd, const void *data, size_t n)
{
	REAL(write);
	return watched(WRITE) ? GUARD_BYTES(WRITE, fd, n, real(fd, data, n)) : real(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	REAL(pwrite);
	return watched(WRITE) ? GUARD_BYTES(WRITE, fd, n, real(fd, data, n, at)) : real(fd, data, n, at);
}

ssize_t read(int fd, void *data, size_t n)
{
	REAL(read);
	return watched(READ) ? GUARD_BYTES(READ, fd, n, real(fd, data, n)) : real(fd, data, n);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
	REAL(pread);
	return watched(READ) ? GUARD_BYTES(READ, fd, n, real(fd, data, n, at)) : real(fd, data, n, at);
}

ssize_t copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t n, unsigned flags)
{
	REAL(copy_file_range);
	return watched(COPY) ? GUARD_BYTES(COPY, to, n, real(from, at, to, to_at, n, flags))
	                     : real(from, at, to, to_at, n, flags);
}

int fsync(int fd)
{
	REAL(fsync);
	return watched(FSYNC) ? (int)GUARD(FSYNC, fd, NULL, "", real(fd)) : real(fd);
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	return watched(FSYNC) ? (int)GUARD(FSYNC, fd, NULL, "", real(fd)) : real(fd);
}

int syncfs(int fd)
{
	REAL(syncfs);
	return watched(FSYNC) ? (int)GUARD(FSYNC, fd, NULL, "", real(fd)) : real(fd);
}

int linkat(int from, const char *path, int to, const char *name, int flags)
{
	REAL(linkat);
	return watched(LINK) ? (int)GUARD(LINK, to, NULL, name, real(from, path, to, name, flags))
	                     : real(from, path, to, name, flags);
}

int renameat(int from, const char *path, int to, const char *name)
{
	REAL(renameat);
	return watched(RENAME) ? (int)GUARD(RENAME, to, NULL, name, real(from, path, to, name))
	                       : real(from, path, to, name);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	REAL(mkdirat);
	return watched(MKDIR) ? (int)GUARD(MKDIR, dir, NULL, name, real(dir, name, mode)) : real(dir, name, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
	REAL(unlinkat);
	return watched(UNLINK) ? (int)GUARD(UNLINK, dir, NULL, name, real(dir, name, flags)) : real(dir, name, flags);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	REAL(open);
	va_start(ap, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return watched(OPEN) ? (int)GUARD(OPEN, -1, path, path, real(path, flags, mode)) : real(path, flags, mode);
}

/* openat2() has no wrapper in the libc; nothing else that comes by here is of interest. */
long syscall(long number, ...)
{
	va_list ap;
	long a[6];

	static long (*real)(long number, ...);
	if (!real)
		real = (long (*)(long number, ...))dlsym(RTLD_NEXT, "syscall");
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && watched(OPEN))
		return GUARD(OPEN, (int)a[0], NULL, (const char *)a[1],
		             real(number, a[0], a[1], a[2], a[3], a[4], a[5]));
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- sockets ---- */

ssize_t send(int fd, const void *data, size_t n, int flags)
{
	char text[65] = "";

	REAL(send);
	if (!watched(SEND))
		return real(fd, data, n, flags);
	memcpy(text, data, n < 64 ? n : 64);
	note(SEND, fd, text, 0);
	return GUARD_BYTES(SEND, fd, n, real(fd, data, n, flags));
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t size)
{
	char text[65] = "";

	REAL(sendto);
	if (!watched(SEND))
		return real(fd, data, n, flags, to, size);
	memcpy(text, data, n < 64 ? n : 64);
	note(SEND, fd, text, 0);
	return GUARD_BYTES(SEND, fd, n, real(fd, data, n, flags, to, size));
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	const struct rule *r;
	char text[65] = "";
	size_t n;

	REAL(sendmsg);
	if (!watched(SEND))
		return real(fd, m, flags);
	n = m->msg_iovlen ? m->msg_iov[0].iov_len : 0;
	if (n)
		memcpy(text, m->msg_iov[0].iov_base, n < 64 ? n : 64);
	note(SEND, fd, text, 0);
	r = find(SEND, fd, NULL);
	if (!r || r->action == SHORT)
		return real(fd, m, flags);
	if (r->action == AFTERWARDS)
		(void)!real(fd, m, flags);
	if (r->action == CUT)
		shutdown(fd, SHUT_RDWR);
	errno = r->error;
	return -1;
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
	REAL(recv);
	return watched(RECV) ? GUARD_BYTES(RECV, fd, n, real(fd, data, n, flags)) : real(fd, data, n, flags);
}

ssize_t recvfrom(int fd, void *data, size_t n, int flags, struct sockaddr *from, socklen_t *size)
{
	REAL(recvfrom);
	return watched(RECV) ? GUARD_BYTES(RECV, fd, n, real(fd, data, n, flags, from, size))
	                     : real(fd, data, n, flags, from, size);
}

/* ---- memory ---- */

/* Names that need no dlsym(), which allocates: the sanitizer's where there is one, else the libc's. */
void *__interceptor_malloc(size_t size) __attribute__((weak));
void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
void *__interceptor_realloc(void *p, size_t size) __attribute__((weak));
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool out_of_memory(void)
{
	if (!watched(MALLOC) || !find(MALLOC, -1, NULL))
		return false;
	if (trace) {
		void *frames[16];

		backtrace_symbols_fd(frames, backtrace(frames, 16), 2);
		(void)!syscall(SYS_write, 2, "\n", 1);
	}
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	if (out_of_memory())
		return NULL;
	return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	if (out_of_memory())
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
	if (out_of_memory())
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(p, size) : __libc_realloc(p, size);
}

/* The sanitizer's own do not come by malloc(). */
char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *p = malloc(size);

	return p ? memcpy(p, s, size) : NULL;
}

char *strndup(const char *s, size_t most)
{
	size_t n = strnlen(s, most);
	char *p = malloc(n + 1);

	if (!p)
		return NULL;
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}
