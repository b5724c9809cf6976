/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Reading, listing and removing against a small store of our own that breaks off, replaces objects and lies. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/blob/gcs.h"
#include "base/arena.h"
#include "base/thread.h"
#include "with_bell.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { SIZE = 300000, NAMES = 1100 };

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t lock;

	unsigned generation;            /* of the object "p/k" */
	size_t cut;                     /* a body ends after so many bytes; 0: whole */
	unsigned cuts;                  /* so many times */
	bool replaced;                  /* after the next answer */
	bool empty, lies;
	unsigned gets, pinned;
	const char *const *pages;       /* answers to lists, in turn; NULL: names below "p/d/" */
	unsigned lists, page_count;
	bool there[NAMES];              /* p/d/NNNN, ten bytes each */
	unsigned deletes, elsewhere, at_once, most_at_once;
	bool refuses;                   /* to delete p/d/0700 */
} store = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned char content[SIZE];

/* ---- the store ---- */

static bool say(int fd, const void *data, size_t n)
{
	return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool answer(int fd, const char *status, const char *headers, const char *body)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
			 headers, strlen(body));

	return say(fd, head, (size_t)n) && say(fd, body, strlen(body));
}

static bool missing(int fd)
{
	return answer(fd, "404 Not Found", "",
		      "{\"error\":{\"code\":404,\"message\":\"No such object: bucket/x\",\"errors\":["
		      "{\"reason\":\"notFound\"}]}}");
}

static bool serve_media(int fd, const char *head)
{
	const char *pin = strstr(head, "generation="), *range = strcasestr(head, "\r\nrange: bytes=");
	size_t size = store.empty ? 0 : SIZE, from = 0, end = size, n;
	char text[512];

	store.gets++;
	store.pinned += pin != NULL;
	if (pin && strtoul(pin + 11, NULL, 10) != store.generation)
		return missing(fd);
	if (range && sscanf(range + 15, "%zu-%zu", &from, &end) == 2)
		end = end < size ? end + 1 : size;
	if (from >= end && range)
		return answer(fd, "416 No", "", "");
	n = (size_t)snprintf(text, sizeof(text),
			     "HTTP/1.1 %s\r\nx-goog-generation: %u\r\nETag: CJ%u=\r\n"
			     "x-goog-stored-content-length: %zu\r\nContent-Length: %zu\r\n",
			     range ? "206 Partial Content" : "200 OK", store.generation,
			     store.generation, size + store.lies, end - from);
	if (range)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Range: bytes %zu-%zu/%zu\r\n",
				      from, end - 1, size);
	n += (size_t)snprintf(text + n, sizeof(text) - n,
			      "Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n\r\n");
	if (!say(fd, text, n))
		return false;
	if (store.replaced) {
		store.generation++;
		store.replaced = false;
	}
	if (store.cuts && end - from > store.cut) {
		store.cuts--;
		(void)say(fd, content + from, store.cut);
		return false;
	}
	return say(fd, content + from, end - from);
}

static bool serve_list(int fd, const char *head)
{
	char *body = calloc(1, 64 << 10);
	size_t n = 0, shown = 0, most = strstr(head, "maxResults=1&") ? 1 : GCS_PAGE;
	bool good;

	store.lists++;
	if (store.pages) {
		free(body);
		return answer(fd, "200 OK", "", store.pages[(store.lists - 1) % store.page_count]);
	}
	n += (size_t)sprintf(body, "{\"items\":[");
	for (unsigned i = 0; i < NAMES && shown < most && strstr(head, "prefix=p%2Fd%2F&"); i++)
		if (store.there[i])
			n += (size_t)sprintf(body + n, "%s{\"name\":\"p/d/%04u\",\"size\":\"10\"}",
					     shown++ ? "," : "", i);
	n += (size_t)sprintf(body + n, "]}");
	good = answer(fd, "200 OK", "", body);
	free(body);
	return good;
}

static bool serve_delete(int fd, const char *name)
{
	unsigned i;

	if (sscanf(name, "p%%2Fd%%2F%4u", &i) != 1 || i >= NAMES) {
		store.elsewhere++;
		return missing(fd);
	}
	if (store.refuses && i == 700)
		return answer(fd, "403 No", "", "");
	store.deletes++;
	store.at_once++;
	if (store.most_at_once < store.at_once)
		store.most_at_once = store.at_once;
	pthread_mutex_unlock(&store.lock);
	usleep(200);
	pthread_mutex_lock(&store.lock);
	store.at_once--;
	if (!store.there[i])
		return missing(fd);
	store.there[i] = false;
	return answer(fd, "204 No Content", "", "");
}

static bool serve_one(int fd, const char *head)
{
	static const char object[] = "/storage/v1/b/bucket/o/", list[] = "GET /storage/v1/b/bucket/o?";
	const char *name = strstr(head, object);

	if (!strncmp(head, list, sizeof(list) - 1))
		return serve_list(fd, head);
	if (!name)
		return false;
	name += sizeof(object) - 1;
	if (!strncmp(head, "DELETE ", 7))
		return serve_delete(fd, name);
	if (strncmp(name, "p%2Fk?", 6) != 0)
		return missing(fd);
	if (strstr(head, "alt=media"))
		return serve_media(fd, head);
	return answer(fd, "200 OK", "",
		      "{\"size\":\"300000\",\"generation\":\"7\",\"updated\":\"2026-01-02T03:04:05.5Z\"}");
}

static bool get_head(int fd, char head[8192])
{
	size_t at = 0;

	while (at < 4 || memcmp(head + at - 4, "\r\n\r\n", 4) != 0)
		if (at == 8191 || recv(fd, head + at++, 1, 0) != 1)
			return false;
	head[at] = '\0';
	return true;
}

static void *serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char head[8192];
	bool more = true;

	while (more && get_head(fd, head)) {
		pthread_mutex_lock(&store.lock);
		more = serve_one(fd, head);
		pthread_mutex_unlock(&store.lock);
	}
	close(fd);
	return NULL;
}

static void *serve(void *arg)
{
	pthread_t thread;

	(void)arg;
	while (!atomic_load(&store.stop)) {
		struct pollfd p = { .fd = store.socket, .events = POLLIN };

		if (poll(&p, 1, 50) <= 0)
			continue;
		if (thread_start(&thread, "connection", serve_connection,
				 (void *)(intptr_t)accept(store.socket, NULL, NULL)))
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

/* ---- the client ---- */

static struct blob *blob;
static struct ctx ctx;

static int begin(void **state)
{
	(void)state;
	pthread_mutex_lock(&store.lock);
	store.generation = 7;
	store.cut = store.cuts = store.gets = store.pinned = store.lists = store.deletes = 0;
	store.most_at_once = 0;
	store.replaced = store.empty = store.refuses = store.lies = false;
	store.pages = NULL;
	memset(store.there, 0, sizeof(store.there));
	pthread_mutex_unlock(&store.lock);
	arena_reset(ctx.arena);
	ctx.error = (struct error){ 0 };
	return 0;
}

static int open_reader(const char *key, const struct blob_want *want, struct blob_reader **r,
		       struct blob_info *info)
{
	int rc;

	*r = NULL;
	while ((rc = blob_read_open(&ctx, blob, key, want, (struct blob_ready){ ring, NULL }, r,
				    info)) == BLOB_AGAIN)
		await();
	return rc;
}

/* How far it got; *rc: 0 at the end. */
static size_t read_on(struct blob_reader *r, size_t from, size_t to, int *rc)
{
	static unsigned char block[7000];

	while (from < to) {
		size_t got, n = to - from < sizeof(block) ? to - from : sizeof(block);

		*rc = blob_read(&ctx, r, from, block, n, &got);
		if (*rc == BLOB_AGAIN) {
			await();
			continue;
		}
		if (*rc || !got)
			break;
		assert_memory_equal(block, content + from, got);
		from += got;
	}
	return from;
}

/* ---- tests ---- */

static void test_read(void **state)
{
	struct blob_reader *r;
	struct blob_info info, stat;
	int rc;

	(void)state;
	assert_int_equal(open_reader("k", NULL, &r, &info), 0);
	assert_int_equal(info.size, SIZE);
	assert_string_equal(info.etag, "\"g7\"");
	assert_int_equal(info.modified, 1767323045);
	assert_int_equal(read_on(r, 0, SIZE, &rc), SIZE);
	blob_read_close(r);
	assert_int_equal(store.gets, 1);

	assert_int_equal(blob_stat(&ctx, blob, "k", &stat), 1);
	assert_int_equal(stat.size, info.size);
	assert_int_equal(stat.modified, info.modified);
	assert_string_equal(stat.etag, info.etag);

	assert_int_equal(open_reader("k", &(struct blob_want){ .first = 1000, .length = 10 }, &r, &info),
			 0);
	assert_int_equal(info.size, SIZE);
	assert_int_equal(read_on(r, 1000, 1010, &rc), 1010);
	blob_read_close(r);

	assert_int_equal(open_reader("none", NULL, &r, &info), -1);
	assert_int_equal(ctx.error.code, RESOURCE_DOES_NOT_EXIST);
	blob_read_close(r);
}

static void test_read_empty(void **state)
{
	static const struct blob_want wants[] = { { 0 }, { .first = 5 }, { .first = 0, .length = 3 } };
	struct blob_reader *r;
	struct blob_info info;

	(void)state;
	store.empty = true;
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		assert_int_equal(open_reader("k", &wants[i], &r, &info), 0);
		assert_int_equal(info.size, 0);
		blob_read_close(r);
	}
}

/* A broken connection goes on in the very same object. */
static void test_breaks(void **state)
{
	struct blob_reader *r;
	struct blob_info info;
	int rc;

	(void)state;
	store.cut = 100001;
	store.cuts = 2;
	assert_int_equal(open_reader("k", NULL, &r, &info), 0);
	assert_int_equal(read_on(r, 0, SIZE, &rc), SIZE);
	blob_read_close(r);
	assert_int_equal(store.gets, 3);
	assert_int_equal(store.pinned, 2);
}

/* A body that ends where it was announced to, and is not all. */
static void test_lying_length(void **state)
{
	struct blob_reader *r;
	struct blob_info info;

	(void)state;
	store.lies = true;
	assert_int_equal(open_reader("k", NULL, &r, &info), -1);
	assert_int_equal(ctx.error.code, IO_ERROR);
	blob_read_close(r);
}

static void test_replaced(void **state)
{
	struct blob_reader *r;
	struct blob_info info;
	int rc = 0;

	(void)state;
	store.cut = 1000;
	store.cuts = 1;
	store.replaced = true;
	assert_int_equal(open_reader("k", NULL, &r, &info), 0);
	assert_int_equal(read_on(r, 0, SIZE, &rc), 1000);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(ctx.error.message, "changed"));
	assert_int_equal(store.pinned, 1);
	blob_read_close(r);
}

static int collect(struct ctx *c, void *arg, const struct blob_entry *e)
{
	char *to = arg;

	(void)c;
	snprintf(to + strlen(to), 400 - strlen(to), "%s%s=%llu ", e->name, e->directory ? "/" : "",
		 (unsigned long long)e->size);
	return 0;
}

static void test_list(void **state)
{
	static const char *const pages[] = {
		"{\"items\":[{\"name\":\"p/d/\",\"size\":\"0\"},{\"name\":\"p/d/b\",\"size\":\"2\"}],"
		"\"prefixes\":[\"p/d/z/\",\"p/d//\",\"p/d/../\",\"p/d/b/\"],\"nextPageToken\":\"t/1\"}",
		"{\"items\":[{\"name\":\"p/d/a b\",\"size\":\"1\"},{\"name\":\"p/d/\xc3\xa4\"}]}",
	};
	char text[400] = "";

	(void)state;
	store.pages = pages;
	store.page_count = 2;
	assert_int_equal(blob_list(&ctx, blob, "d", collect, text), 1);
	assert_string_equal(text, "a b=1 b=2 b/=0 z/=0 \xc3\xa4=0 ");
	assert_int_equal(store.lists, 2);

	store.pages = NULL;
	assert_int_equal(blob_list(&ctx, blob, "nothing", collect, text), 0);
	assert_int_equal(blob_list(&ctx, blob, "", collect, text), 1);
}

static void test_list_lies(void **state)
{
	static const char *const lies[] = {
		"{\"items\":[],\"nextPageToken\":\"the same\"}",        /* for ever */
		"{\"items\":[{\"name\":\"q/x\"}]}",                     /* not asked for */
		"{\"items\":[{\"name\":7}]}",
		"{\"prefixes\":[{}]}",
		"{\"items\":5}",
		"{\"nextPageToken\":5}",
		"{\"items\":[",
		"[]",
		"",
	};
	char text[400] = "";

	(void)state;
	store.page_count = 1;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		error_clear(&ctx);
		store.pages = &lies[i];
		store.lists = 0;
		assert_int_equal(blob_list(&ctx, blob, "d", collect, text), -1);
		assert_int_equal(ctx.error.code, TEMPORARILY_UNAVAILABLE);
		assert_true(store.lists <= 2);
	}
}

static void test_remove(void **state)
{
	uint64_t bytes = 5;

	(void)state;
	memset(store.there, true, sizeof(store.there));
	assert_int_equal(blob_remove(&ctx, blob, "d", &bytes), 1);
	assert_int_equal(bytes, 5 + NAMES * 10);
	assert_int_equal(store.deletes, NAMES);
	assert_true(store.most_at_once > 1 && store.most_at_once <= GCS_DELETES);
	assert_int_equal(store.lists, 4);       /* the last is empty */
	assert_int_equal(blob_remove(&ctx, blob, "d", &bytes), 0);
	assert_int_equal(bytes, 5 + NAMES * 10);
}

static void test_remove_refused(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	memset(store.there, true, sizeof(store.there));
	store.refuses = true;
	assert_int_equal(blob_remove(&ctx, blob, "d", &bytes), -1);
	assert_int_equal(ctx.error.code, PERMISSION_DENIED);
	assert_true(store.there[700] && bytes > 0 && bytes < NAMES * 10);
}

static void test_remove_lies(void **state)
{
	static const char *const outside[] = { "{\"items\":[{\"name\":\"p/other\",\"size\":\"1\"}]}" };
	static const char *const forever[] = { "{\"items\":[{\"name\":\"p/d/0001\",\"size\":\"1\"}]}" };
	uint64_t bytes = 0;

	(void)state;
	store.page_count = 1;
	store.pages = outside;
	assert_int_equal(blob_remove(&ctx, blob, "d", &bytes), -1);
	assert_int_equal(store.elsewhere, 0);

	error_clear(&ctx);
	store.pages = forever;
	assert_int_equal(blob_remove(&ctx, blob, "d", &bytes), -1);
	assert_int_equal(bytes, 0);
	assert_true(store.lists < 20);
}

static int setup(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	char host[32];

	(void)state;
	net_init();
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (unsigned char)(i ^ i >> 7 ^ i >> 15);
	store.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(store.socket, (struct sockaddr *)&a, n) || listen(store.socket, 64) ||
	    getsockname(store.socket, (struct sockaddr *)&a, &n))
		return -1;
	store.port = ntohs(a.sin_port);
	snprintf(host, sizeof(host), "http://127.0.0.1:%u", store.port);
	setenv("STORAGE_EMULATOR_HOST", host, 1);
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	ctx.arena = arena_new(64 << 20);
	blob = blob_open(&ctx, "gs://bucket/p/");
	return !blob || thread_start(&store.thread, "store", serve, NULL);
}

static int teardown(void **state)
{
	(void)state;
	blob_close(blob);
	blob_shutdown();
	atomic_store(&store.stop, true);
	pthread_join(store.thread, NULL);
	close(store.socket);
	arena_free(ctx.arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_read, begin),
		cmocka_unit_test_setup(test_read_empty, begin),
		cmocka_unit_test_setup(test_breaks, begin),
		cmocka_unit_test_setup(test_lying_length, begin),
		cmocka_unit_test_setup(test_replaced, begin),
		cmocka_unit_test_setup(test_list, begin),
		cmocka_unit_test_setup(test_list_lies, begin),
		cmocka_unit_test_setup(test_remove, begin),
		cmocka_unit_test_setup(test_remove_refused, begin),
		cmocka_unit_test_setup(test_remove_lies, begin),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
