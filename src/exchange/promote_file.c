/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * One artifact: read from the source and written to the destination at the same time, never stored
 * between. libcurl's calls block, so a thread reads into a pipe and this one writes from it; the
 * pipe is the only memory. What was written is read back and its digest compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/thread.h"
#include "promote_impl.h"

enum { THREAD_ARENA = 32 << 20, PIPE_BYTES = 1 << 20, TRIES = 3, WORDS = 1024 };

struct hashing {
	struct promote *p;
	EVP_MD_CTX *sha;
	int64_t size;
	int fd;                         /* where it goes on to; -1: nowhere */
};

static void sha_done(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static EVP_MD_CTX *sha_new(struct ctx *c)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	if (sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1)
		return sha;
	EVP_MD_CTX_free(sha);
	fail(c, TEMPORARILY_UNAVAILABLE, "No memory for a digest.");
	return NULL;
}

static int write_all(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t put = write(fd, data, n);
		if (put < 0 && errno != EINTR)
			return -1;
		if (put > 0) {
			data += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

static int hash_sink(struct ctx *c, void *arg, const char *data, size_t n)
{
	struct hashing *h = arg;

	if (EVP_DigestUpdate(h->sha, data, n) != 1)
		return fail(c, INTERNAL_ERROR, "The digest failed.");
	h->size += (int64_t)n;
	if (h->fd >= 0 && write_all(h->fd, data, n))
		return fail(c, BAD_REQUEST, "The upload ended first.");
	if (h->fd < 0)
		promote_tick(h->p);
	return 0;
}

static const char *url_of(struct ctx *c, const struct promote_place *place, const char *path)
{
	const char *whole = *place->path ? arena_printf(c->arena, "%s/%s", place->path, path) : path;

	return arena_printf(c->arena, "%s/%s", place->proxy, net_encode(c, whole, true));
}

/* One GET into the digest and on. -1: error; *passing: another try may do better. */
static int get(struct ctx *c, struct mlflow *m, const char *url, struct hashing *h, bool *passing)
{
	struct net_request r;
	struct net_reply reply = { 0 };

	mlflow_request(m, "GET", url, &r);
	r.sink = hash_sink;
	r.sink_arg = h;
	*passing = true;
	if (mlflow_perform(c, m, &r, &reply))
		return -1;
	*passing = reply.status == 429 || reply.status >= 502;
	if (reply.status != 200)
		return mlflow_refused(c, m, arena_printf(c->arena, "GET %s", url), &reply);
	if (reply.content_length >= 0 && reply.content_length != h->size)
		return fail(c, TEMPORARILY_UNAVAILABLE, "%s was cut after %lld of %lld bytes.", url,
			    (long long)h->size, (long long)reply.content_length);
	return 0;
}

static int hash_file(struct ctx *c, const char *path, struct hashing *h)
{
	char piece[64 << 10];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0) {
		got = read(fd, piece, sizeof(piece));
		if (got > 0 && hash_sink(c, h, piece, (size_t)got)) {
			close(fd);
			return -1;
		}
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	return got < 0 ? fail(c, IO_ERROR, "Cannot read '%s': %s.", path, strerror(error)) : 0;
}

/* The digest of a file where it lies. */
static int hash(struct ctx *c, struct promote *p, const struct promote_place *place,
		const char *path, unsigned char ret[PROMOTE_SHA], int64_t *ret_size)
{
	for (int attempt = 0;; attempt++) {
		CLEANUP(sha_done) EVP_MD_CTX *sha = sha_new(c);
		struct hashing h = { .p = p, .sha = sha, .fd = -1 };
		bool passing = false;
		if (!sha)
			return -1;
		int failed = place->dir
				     ? hash_file(c,
						 arena_printf(c->arena, "%s/%s", place->dir, path),
						 &h)
				     : get(c, place->server, url_of(c, place, path), &h, &passing);
		if (failed) {
			if (!passing || !mlflow_retry(place->server, 0, attempt))
				return -1;
			error_clear(c);
			continue;
		}
		*ret_size = h.size;
		return EVP_DigestFinal_ex(sha, ret, NULL) == 1
			       ? 0
			       : fail(c, INTERNAL_ERROR, "The digest failed.");
	}
}

/* The reading half of a transfer. */
struct feed {
	struct promote *p;
	const struct promote_place *from;
	const char *path;
	struct hashing hashing;
	bool passing;
	enum error_code code;
	char words[WORDS];
	atomic_int state;               /* 0 while it runs, 1 done, 2 failed: set before the pipe is closed */
};

static int feed_run(struct ctx *c, void *arg)
{
	struct feed *f = arg;

	if (f->from->dir)
		return hash_file(c, arena_printf(c->arena, "%s/%s", f->from->dir, f->path),
				 &f->hashing);
	return get(c, f->p->feed, url_of(c, f->from, f->path), &f->hashing, &f->passing);
}

static void *feed_thread(void *arg)
{
	struct feed *f = arg;
	struct ctx c = { .arena = arena_new(THREAD_ARENA) };
	int failed = !c.arena || work_run(&c, feed_run, f);

	if (failed) {
		const char *words = c.error.message ? c.error.message : "no memory";
		size_t size = strnlen(words, WORDS - 1);
		memcpy(f->words, words, size);
		f->code = c.error.code ? c.error.code : TEMPORARILY_UNAVAILABLE;
	}
	arena_free(c.arena);
	atomic_store(&f->state, failed ? 2 : 1);
	close(f->hashing.fd);
	return NULL;
}

struct drain {
	struct feed *feed;
	int fd;
	int64_t sent;
};

static int64_t drain_source(struct ctx *c, void *arg, char *to, size_t n)
{
	struct drain *d = arg;
	ssize_t got;

	do {
		got = read(d->fd, to, n);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail(c, IO_ERROR, "Reading from the other half failed: %s.", strerror(errno));
	/* The end of the pipe is the end of the file only where the reader says so. */
	if (!got && atomic_load(&d->feed->state) != 1)
		return fail(c, BAD_REQUEST, "The source ended first.");
	d->sent += got;
	d->feed->p->report->sent_bytes += got;
	promote_tick(d->feed->p);
	return got;
}

static int put(struct ctx *c, const struct promote_place *to, const char *path, int64_t size,
	       struct drain *d, bool *passing)
{
	static const struct net_header type = { "Content-Type", "application/octet-stream" };
	const char *url = url_of(c, to, path);
	struct net_request r;
	struct net_reply reply = { 0 };

	mlflow_request(to->server, "PUT", url, &r);
	r.headers = &type;
	r.header_count = 1;
	r.source = drain_source;
	r.source_arg = d;
	r.source_size = size;
	*passing = true;
	if (mlflow_perform(c, to->server, &r, &reply))
		return -1;
	*passing = reply.status == 429 || reply.status >= 502;
	if (reply.status >= 200 && reply.status < 300)
		return 0;
	return mlflow_refused(c, to->server, arena_printf(c->arena, "PUT %s", url), &reply);
}

/* Both halves once. */
static int transfer(struct ctx *c, struct promote *p, const struct promote_place *from,
		    const struct promote_place *to, const char *path, int64_t size,
		    struct feed *f, bool *passing)
{
	struct drain d = { .feed = f };
	pthread_t thread;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return fail(c, TEMPORARILY_UNAVAILABLE, "No pipe: %s.", strerror(errno));
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	f->p = p;
	f->from = from;
	f->path = path;
	f->hashing.p = p;
	f->hashing.fd = fds[1];
	d.fd = fds[0];
	if (thread_start(&thread, "promote", feed_thread, f)) {
		close(fds[0]);
		close(fds[1]);
		return fail(c, TEMPORARILY_UNAVAILABLE, "No thread.");
	}
	int failed = put(c, to, path, size, &d, passing);
	/* A reader that waits for room must learn that nobody takes more. */
	close(fds[0]);
	pthread_join(thread, NULL);
	if (failed)
		p->report->sent_bytes -= d.sent;
	/* Where the reader failed on its own account, that is the cause. */
	if (atomic_load(&f->state) == 2 && strcmp(f->words, "The upload ended first.") != 0) {
		error_clear(c);
		*passing = f->passing;
		return fail(c, f->code, "%s", f->words);
	}
	return failed;
}

static int upload(struct ctx *c, struct promote *p, const struct promote_place *from,
		  const struct promote_place *to, const char *path, int64_t size,
		  unsigned char ret_sha[PROMOTE_SHA], int64_t *ret_size)
{
	for (int attempt = 0;; attempt++) {
		CLEANUP(sha_done) EVP_MD_CTX *sha = sha_new(c);
		struct feed f = { .hashing = { .sha = sha } };
		bool passing = false;
		if (!sha)
			return -1;
		if (transfer(c, p, from, to, path, size, &f, &passing)) {
			if (!passing || !mlflow_retry(to->server, 0, attempt))
				return -1;
			error_clear(c);
			continue;
		}
		*ret_size = f.hashing.size;
		return EVP_DigestFinal_ex(sha, ret_sha, NULL) == 1
			       ? 0
			       : fail(c, INTERNAL_ERROR, "The digest failed.");
	}
}

int promote_file(struct ctx *c, struct promote *p, const struct promote_place *from,
		 const struct promote_place *to, const char *path, int64_t size, bool there,
		 unsigned char ret_sha[PROMOTE_SHA], int64_t *ret_size)
{
	unsigned char back[PROMOTE_SHA];
	int64_t back_size = 0;

	if (there) {
		if (hash(c, p, from, path, ret_sha, ret_size) ||
		    hash(c, p, to, path, back, &back_size))
			return -1;
		if (!memcmp(ret_sha, back, PROMOTE_SHA))
			return 0;
	}
	for (int i = 0; i < TRIES; i++) {
		if (upload(c, p, from, to, path, size, ret_sha, ret_size) ||
		    hash(c, p, to, path, back, &back_size))
			return -1;
		if (back_size == *ret_size && !memcmp(ret_sha, back, PROMOTE_SHA)) {
			p->report->sent_files++;
			return 0;
		}
		p->report->sent_bytes -= *ret_size;
	}
	return fail(c, INVALID_STATE,
		    "'%s' does not read back as it was written: the destination gives %lld bytes "
		    "with another digest.",
		    path, (long long)back_size);
}
