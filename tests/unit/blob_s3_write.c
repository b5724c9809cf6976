/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Writing to S3, against a small store of the test's own that fails where it is told to. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/blob/s3_write.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/thread.h"

#include <cmocka.h> /* last: its fail() is not ours */

enum { PARTS = 16, MIB = 1 << 20, PATTERN = 1000003, REQUEST_MOST = 24 * MIB };

enum op { PUT, CREATE, PART, COMPLETE, ABORT, LIST, HEAD, OPS };

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	const char *script[OPS]; /* what the next requests of that kind meet, then all go well */
	unsigned count[OPS];
	unsigned checksums, types; /* requests with a checksum, with the type we gave */
	bool uploading, there;
	unsigned uploads; /* so far; the last one's id is its number */
	struct s3_sent parts[PARTS];
	char *bodies[PARTS];
	size_t sizes[PARTS];
	char *object; /* what is visible */
	size_t size;
	char etag[BLOB_ETAG];
	char complete[4096]; /* the last XML */
} store;

static char *pattern;

/* ---- the store ---- */

static void drop_parts(void)
{
	for (int i = 0; i < PARTS; i++) {
		free(store.bodies[i]);
		store.bodies[i] = NULL;
		store.sizes[i] = 0;
	}
	store.uploading = false;
}

static void answer(int to, int status, const char *etag, const char *body)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 %d Words\r\nContent-Length: %zu\r\n%s%s%s\r\n%s", status,
			 strlen(body), etag ? "ETag: " : "", etag ? etag : "", etag ? "\r\n" : "", body);

	(void)!send(to, text, (size_t)n, MSG_NOSIGNAL);
}

static void answer_error(int to, int status, const char *code, const char *message)
{
	char body[512];

	snprintf(body, sizeof(body), "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>",
		 code, message);
	answer(to, status, NULL, body);
}

static enum op op_of(const char *head)
{
	const char *query = strchr(head, '?');
	bool part = query && strstr(query, "partNumber=");

	if (!strncmp(head, "HEAD", 4))
		return HEAD;
	if (!strncmp(head, "GET", 3))
		return LIST;
	if (!strncmp(head, "DELETE", 6))
		return ABORT;
	if (!strncmp(head, "POST", 4))
		return strstr(head, "?uploads") ? CREATE : COMPLETE;
	return part ? PART : PUT;
}

/* An upload ends with the next one's beginning. */
static bool knows(const char *request)
{
	const char *id = strstr(request, "uploadId=id-");

	return store.uploading && id && strtoul(id + 12, NULL, 10) == store.uploads;
}

static void put_part(int to, unsigned n, bool known, const char *body, size_t size)
{
	struct s3_sent *p = &store.parts[n - 1];

	if (!known) {
		answer_error(to, 404, "NoSuchUpload", "gone");
		return;
	}
	free(store.bodies[n - 1]);
	store.bodies[n - 1] = malloc(size + 1);
	memcpy(store.bodies[n - 1], body, size);
	store.sizes[n - 1] = size;
	p->number = n;
	snprintf(p->etag, sizeof(p->etag), "\"%032x\"", crc32c(0, body, size));
	answer(to, 200, p->etag, "");
}

static void complete(int to, bool known, const char *body, size_t size, char what)
{
	size_t all = 0, count = 0;
	char text[256];

	snprintf(store.complete, sizeof(store.complete), "%.*s", (int)size, body);
	if (!known) {
		answer_error(to, 404, "NoSuchUpload", "gone");
		return;
	}
	for (; count < PARTS && store.bodies[count]; count++)
		all += store.sizes[count];
	free(store.object);
	store.object = malloc(all + 1);
	store.size = 0;
	for (size_t i = 0; i < count; i++) {
		memcpy(store.object + store.size, store.bodies[i], store.sizes[i]);
		store.size += store.sizes[i];
	}
	store.there = s3_multipart_etag(store.parts, count, store.etag);
	drop_parts();
	if (what == 'l')
		return; /* and the answer gets lost */
	snprintf(text, sizeof(text),
		 "   \n<?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><ETag>&quot;%.*s&quot;</ETag>"
		 "</CompleteMultipartUploadResult>", (int)strlen(store.etag) - 2, store.etag + 1);
	answer(to, 200, NULL, text);
}

static void head(int to)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 %d Words\r\nContent-Length: %zu\r\nETag: %s\r\n\r\n",
			 store.there ? 200 : 404, store.there ? store.size : 0, store.etag);

	(void)!send(to, text, (size_t)n, MSG_NOSIGNAL);
}

static void do_it(int to, enum op op, const char *request, const char *body, size_t size, char what)
{
	const char *part = strstr(request, "partNumber=");
	bool known = knows(request);
	char text[64];

	switch (op) {
	case PUT:
		free(store.object);
		store.object = malloc(size + 1);
		memcpy(store.object, body, size);
		store.size = size;
		store.there = true;
		snprintf(store.etag, sizeof(store.etag), "\"%032x\"", crc32c(0, body, size));
		answer(to, 200, store.etag, "");
		break;
	case CREATE:
		drop_parts();
		store.uploading = true;
		snprintf(text, sizeof(text), "<R><UploadId>id-%u</UploadId></R>", ++store.uploads);
		answer(to, 200, NULL, text);
		break;
	case PART:
		put_part(to, (unsigned)strtoul(part + 11, NULL, 10), known, body, size);
		break;
	case COMPLETE:
		complete(to, known, body, size, what);
		break;
	case ABORT:
	case LIST:
		if (op == ABORT && known && what != 'z')
			drop_parts(); /* z: a part came at the same moment, and it stays */
		if (!known)
			answer_error(to, 404, "NoSuchUpload", "gone");
		else
			answer(to, op == ABORT ? 204 : 200, NULL, op == ABORT ? "" : "<R></R>");
		break;
	default:
		head(to);
	}
}

static const struct {
	char what;
	int status;
	const char *code, *message;
} errors[] = {
	{ '5', 500, "InternalError", "try again" },
	{ '3', 403, "AccessDenied", "no" },
	{ 'n', 501, "NotImplemented", "A header you provided implies..." },
	{ 'c', 400, "InvalidRequest", "Checksum algorithm provided is unsupported." },
	{ 'x', 400, "BadDigest", "The CRC32C you specified did not match" },
	{ 'e', 200, "InternalError", "We encountered an internal error." },
};

/* Whether the connection goes on. */
static bool serve(int to, const char *request, const char *body, size_t size)
{
	enum op op = op_of(request);
	const char *sum = strcasestr(request, "\r\nx-amz-checksum-");
	char crc[12], what = '.';

	pthread_mutex_lock(&store.lock);
	store.count[op]++;
	store.checksums += sum != NULL;
	store.types += strstr(request, "Content-Type: text/x-test\r\n") != NULL;
	if (store.script[op] && *store.script[op])
		what = *store.script[op]++;
	s3_crc_text(crc32c(0, body, size), crc);
	if (sum && op != CREATE && strncmp(sum + strlen("\r\nx-amz-checksum-crc32c: "), crc, 8))
		what = 'x';
	if (what == 's') { /* slow */
		pthread_mutex_unlock(&store.lock);
		usleep(200000);
		pthread_mutex_lock(&store.lock);
	}
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (what == errors[i].what)
			answer_error(to, errors[i].status, errors[i].code, errors[i].message);
	if (what == 'g') { /* the upload is gone */
		drop_parts();
		store.size = 0;
		answer_error(to, 404, "NoSuchUpload", "gone");
	} else if (strchr(".slz", what))
		do_it(to, op, request, body, size, what);
	pthread_mutex_unlock(&store.lock);
	return what != 'r' && what != 'l';
}

static void *connection(void *arg)
{
	int from = (int)(intptr_t)arg;
	char *request = malloc(REQUEST_MOST);
	size_t have = 0;

	for (;;) {
		char *end = memmem(request, have, "\r\n\r\n", 4);
		const char *length = NULL;
		size_t size, head_size;
		ssize_t n;

		if (end) {
			end[2] = '\0';
			length = strcasestr(request, "\r\nContent-Length:");
			head_size = (size_t)(end + 4 - request);
			size = length ? strtoul(length + 17, NULL, 10) : 0;
			if (have >= head_size + size) {
				if (!serve(from, request, request + head_size, size))
					break;
				memmove(request, request + head_size + size, have - head_size - size);
				have -= head_size + size;
				continue;
			}
			end[2] = '\r';
		}
		n = recv(from, request + have, REQUEST_MOST - 1 - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
		request[have] = '\0';
	}
	free(request);
	close(from);
	return NULL;
}

static void *listener(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(store.socket, NULL, NULL)) >= 0) {
		pthread_t t;

		if (!thread_start(&t, "store", connection, (void *)(intptr_t)fd))
			pthread_detach(t);
	}
	return NULL;
}

static int start(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);
	uint64_t x = 88172645463325252u;
	char url[64];

	(void)state;
	pattern = malloc(PATTERN);
	for (size_t i = 0; i < PATTERN; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern[i] = (char)x;
	}
	pthread_mutex_init(&store.lock, NULL);
	store.socket = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(store.socket, (struct sockaddr *)&at, sizeof(at)) || listen(store.socket, 64) ||
	    getsockname(store.socket, (struct sockaddr *)&at, &n))
		return -1;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(at.sin_port));
	setenv("MLFLOW_S3_ENDPOINT_URL", url, 1);
	setenv("AWS_ACCESS_KEY_ID", "key", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	setenv("no_proxy", "*", 1);
	unsetenv("AWS_PROFILE");
	return thread_start(&store.thread, "listener", listener, NULL);
}

static int stop(void **state)
{
	(void)state;
	blob_shutdown();
	shutdown(store.socket, SHUT_RDWR);
	pthread_join(store.thread, NULL);
	close(store.socket);
	drop_parts();
	free(store.object);
	free(pattern);
	return 0;
}

/* ---- a writer's owner ---- */

struct fixture {
	struct ctx c;
	struct blob *blob;
	struct blob_writer *w;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ready;
	char etag[BLOB_ETAG];
	enum error_code code; /* of the last failure */
	int64_t offset;
};

static struct fixture f;

static void forget(void)
{
	pthread_mutex_lock(&store.lock);
	memset(store.script, 0, sizeof(store.script));
	memset(store.count, 0, sizeof(store.count));
	store.checksums = store.types = 0;
	store.there = false;
	drop_parts();
	pthread_mutex_unlock(&store.lock);
}

static void meets(enum op op, const char *script)
{
	pthread_mutex_lock(&store.lock);
	store.script[op] = script;
	pthread_mutex_unlock(&store.lock);
}

static unsigned counted(enum op op)
{
	unsigned n;

	pthread_mutex_lock(&store.lock);
	n = store.count[op];
	pthread_mutex_unlock(&store.lock);
	return n;
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){ .c.arena = arena_new(16 << 20),
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .changed = PTHREAD_COND_INITIALIZER };
	forget();
	f.blob = blob_open(&f.c, "s3://bucket/pre");
	return f.blob ? 0 : -1;
}

/* Whatever happened, all memory was given back and no upload is left. */
static int teardown(void **state)
{
	void *all;

	(void)state;
	blob_write_close(f.w);
	blob_close(f.blob); /* waits for what is taken back */
	arena_free(f.c.arena);
	all = remote_part_take(REMOTE_PART_MEMORY);
	if (!all)
		print_error("part memory is missing\n");
	remote_part_give(all, REMOTE_PART_MEMORY);
	if (store.uploading)
		print_error("an upload is left behind\n");
	return all && !store.uploading ? 0 : -1;
}

static void wake(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&f.lock);
	f.ready = true;
	pthread_cond_signal(&f.changed);
	pthread_mutex_unlock(&f.lock);
}

/* False: nothing came for so long. */
static bool wait_ready(int ms)
{
	int64_t end = clock_wall_ms() + ms;
	struct timespec until = { .tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000 };
	bool ready;

	pthread_mutex_lock(&f.lock);
	while (!f.ready && !pthread_cond_timedwait(&f.changed, &f.lock, &until))
		;
	ready = f.ready;
	f.ready = false;
	pthread_mutex_unlock(&f.lock);
	return ready;
}

static int done(int rc)
{
	if (rc < 0)
		f.code = f.c.error.code;
	error_clear(&f.c);
	return rc;
}

static int begin(int64_t announced)
{
	const struct blob_target t = { .key = "a b/c", .size = announced, .content_type = "text/x-test" };

	blob_write_close(f.w);
	f.w = NULL;
	f.offset = 0;
	f.ready = false;
	return done(blob_write_begin(&f.c, f.blob, &t, (struct blob_ready){ wake, NULL }, &f.w));
}

static int append(size_t size)
{
	int64_t end = f.offset + (int64_t)size;
	int rc = 0;

	while (!rc && f.offset < end) {
		size_t at = (size_t)(f.offset % PATTERN), n = (size_t)(end - f.offset), taken = 0;

		rc = blob_write(&f.c, f.w, pattern + at, n < PATTERN - at ? n : PATTERN - at, &taken);
		f.offset += (int64_t)taken;
		if (rc == BLOB_AGAIN)
			rc = wait_ready(20000) ? 0 : BLOB_AGAIN;
	}
	return done(rc);
}

static int commit(void)
{
	int rc;

	while ((rc = blob_write_commit(&f.c, f.w, f.etag)) == BLOB_AGAIN)
		if (!wait_ready(20000))
			break;
	return done(rc);
}

/* Waits for what is taken back in the background. */
static void reopen(void)
{
	blob_write_close(TAKE(f.w));
	blob_close(f.blob);
	f.blob = blob_open(&f.c, "s3://bucket/pre");
	assert_non_null(f.blob);
}

static int put(size_t size, int64_t announced)
{
	int rc = begin(announced);

	if (!rc)
		rc = append(size);
	return rc ? rc : commit();
}

static void is_there(size_t size)
{
	pthread_mutex_lock(&store.lock);
	assert_true(store.there);
	assert_int_equal(store.size, size);
	for (size_t i = 0; i < size; i += PATTERN)
		assert_memory_equal(store.object + i, pattern,
				    size - i < PATTERN ? size - i : PATTERN);
	assert_string_equal(store.etag, f.etag);
	pthread_mutex_unlock(&store.lock);
}

/* ---- tests ---- */

static void test_sizes(void **state)
{
	static const struct {
		size_t size;
		unsigned known, unknown; /* parts; 0: one PUT */
	} sizes[] = {
		{ 0, 0, 0 },
		{ 1, 0, 0 },
		{ 65537, 0, 0 },
		{ REMOTE_PART, 0, 0 },
		{ REMOTE_PART + 1, 0, 2 },
		{ 2 * REMOTE_PART, 0, 2 },
		{ 2 * REMOTE_PART + 1, 3, 3 },
		{ 5 * REMOTE_PART, 5, 5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int unknown = 0; unknown < 2; unknown++) {
			size_t size = sizes[i].size;
			unsigned parts = unknown ? sizes[i].unknown : sizes[i].known;

			forget();
			assert_int_equal(put(size, unknown ? -1 : (int64_t)size), 0);
			is_there(size);
			assert_int_equal(counted(PUT), !parts);
			assert_int_equal(counted(PART), parts);
			assert_int_equal(counted(COMPLETE), parts > 0);
			assert_int_equal(counted(ABORT), 0);
			assert_int_equal(store.checksums, 1 + parts);
			assert_int_equal(store.types, 1);
		}
	}
	assert_non_null(strstr(store.complete, "<PartNumber>5</PartNumber>"));
	assert_non_null(strstr(store.complete, "<ChecksumCRC32C>"));
}

static void test_wrong_sizes(void **state)
{
	(void)state;
	assert_int_equal(put(5, 10), -1);
	assert_int_equal(f.code, BAD_REQUEST);
	assert_int_equal(put(10, 5), -1);
	assert_int_equal(f.code, INVALID_PARAMETER_VALUE);
	assert_int_equal(put(18 * MIB, 20 * MIB), -1);
	assert_int_equal(put(20 * MIB, 18 * MIB), -1);
	assert_false(store.there);
}

static void test_retries(void **state)
{
	(void)state;
	meets(PUT, "55r");
	assert_int_equal(put(70000, 70000), 0);
	is_there(70000);
	assert_int_equal(counted(PUT), 4);
	meets(PUT, "x");
	assert_int_equal(put(100, 100), 0);
	meets(CREATE, "5");
	meets(PART, "r5.x");
	assert_int_equal(put(25 * MIB, 25 * MIB), 0);
	is_there(25 * MIB);
}

static void test_refused(void **state)
{
	(void)state;
	meets(PUT, "3");
	assert_int_equal(put(100, 100), -1);
	assert_int_equal(f.code, PERMISSION_DENIED);
	meets(PART, ".3");
	assert_int_equal(put(25 * MIB, 25 * MIB), -1);
	assert_int_equal(f.code, PERMISSION_DENIED);
	meets(CREATE, "3");
	assert_int_equal(put(25 * MIB, -1), -1);
	assert_int_equal(f.code, PERMISSION_DENIED);
	assert_false(store.there);
}

static void test_complete(void **state)
{
	(void)state;
	meets(COMPLETE, "ee");
	assert_int_equal(put(20 * MIB, 20 * MIB), 0);
	is_there(20 * MIB);
	assert_int_equal(counted(COMPLETE), 3);
	/* The store did it, and when asked again knows no such upload: what is there tells. */
	meets(COMPLETE, "l");
	assert_int_equal(put(20 * MIB, -1), 0);
	is_there(20 * MIB);
	assert_int_equal(counted(COMPLETE), 4);
	assert_int_equal(counted(HEAD), 1);
	/* The upload is gone, and what is there is another object. */
	meets(COMPLETE, "eg");
	assert_int_equal(begin(20 * MIB), 0);
	assert_int_equal(append(20 * MIB), 0);
	assert_int_equal(commit(), -1);
	assert_int_equal(f.code, RESOURCE_DOES_NOT_EXIST);
	meets(COMPLETE, "3");
	assert_int_equal(put(20 * MIB, 20 * MIB), -1);
	assert_int_equal(f.code, PERMISSION_DENIED);
}

static void test_closed(void **state)
{
	static const size_t at[] = { 1, REMOTE_PART, REMOTE_PART + 1, 20 * MIB };

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		assert_int_equal(begin(25 * MIB), 0);
		assert_int_equal(append(at[i]), 0);
		reopen();
		assert_int_equal(begin(-1), 0);
		assert_int_equal(append(at[i]), 0);
		reopen();
		assert_false(store.uploading);
	}
	/* With a part on its way: whether the store forgot it is looked at. */
	forget();
	meets(PART, "s");
	meets(ABORT, "z");
	assert_int_equal(begin(25 * MIB), 0);
	assert_int_equal(append(REMOTE_PART + 1), 0);
	while (!counted(PART))
		assert_int_equal(append(1), 0);
	reopen();
	assert_int_equal(counted(ABORT), 2);
	assert_false(store.uploading);
	/* While the upload is being created: its id comes later. */
	meets(CREATE, "s");
	assert_int_equal(begin(25 * MIB), 0);
	assert_int_equal(append(100), 0);
	reopen();
	assert_false(store.uploading);
	assert_false(store.there);
	assert_int_equal(counted(COMPLETE), 0);
}

static void test_no_checksums(void **state)
{
	(void)state;
	meets(PUT, "n");
	assert_int_equal(put(100, 100), 0);
	assert_int_equal(store.checksums, 1);
	assert_int_equal(put(100, 100), 0);
	assert_int_equal(put(20 * MIB, 20 * MIB), 0);
	is_there(20 * MIB);
	assert_int_equal(store.checksums, 1);
	assert_null(strstr(store.complete, "ChecksumCRC32C"));
	/* Another store, which says so otherwise. */
	reopen();
	store.checksums = 0;
	meets(CREATE, "c");
	assert_int_equal(put(20 * MIB, -1), 0);
	is_there(20 * MIB);
	assert_int_equal(store.checksums, 1);
	assert_int_equal(put(100, 100), 0);
	assert_int_equal(store.checksums, 1);
}

/* Without memory parts go straight through. */
static void test_no_memory(void **state)
{
	void *all = remote_part_take(REMOTE_PART_MEMORY);
	size_t taken;

	(void)state;
	assert_non_null(all);
	assert_int_equal(put(30 * MIB, 30 * MIB), 0);
	is_there(30 * MIB);
	assert_int_equal(counted(PART), 4);
	assert_int_equal(put(MIB, MIB), 0);
	is_there(MIB);
	assert_int_equal(counted(PUT), 0);
	assert_int_equal(counted(COMPLETE), 2);
	assert_int_equal(store.checksums, 0);
	assert_int_equal(put(4096, 4096), 0); /* needs none */
	assert_int_equal(counted(PUT), 1);
	meets(PART, "r");
	assert_int_equal(put(30 * MIB, 30 * MIB), -1);
	assert_int_equal(f.code, TEMPORARILY_UNAVAILABLE);
	meets(PART, ".3");
	assert_int_equal(put(30 * MIB, 30 * MIB), -1);
	assert_int_equal(f.code, PERMISSION_DENIED);
	/* Of an unknown size they wait. */
	assert_int_equal(begin(-1), 0);
	assert_int_equal(append(64 << 10), 0);
	f.ready = false;
	assert_int_equal(blob_write(&f.c, f.w, pattern + f.offset, 1, &taken), BLOB_AGAIN);
	assert_false(wait_ready(20));
	remote_part_give(all, REMOTE_PART_MEMORY);
	assert_true(wait_ready(1000));
	assert_int_equal(append(20 * MIB - (64 << 10)), 0);
	assert_int_equal(commit(), 0);
	is_there(20 * MIB);
}

static void test_parts(void **state)
{
	struct blob_target t = { .key = "m", .size = 20 * MIB, .part = 1 };
	const struct blob_ready ready = { wake, NULL };
	struct blob_part parts[2] = { { 1, f.etag }, { 2, "\"x\"" } };
	const char *id = NULL;

	(void)state;
	assert_int_equal(blob_parts_create(&f.c, f.blob, "m", &id), 0);
	assert_non_null(strstr(id, "id-"));
	t.upload_id = "../x?y";
	assert_int_equal(done(blob_write_begin(&f.c, f.blob, &t, ready, &f.w)), -1);
	assert_int_equal(f.code, RESOURCE_DOES_NOT_EXIST);
	t.upload_id = id;
	for (int small = 0; small < 2; small++) {
		t.size = small ? 5 * MIB : 20 * MIB;
		f.offset = 0;
		assert_int_equal(blob_write_begin(&f.c, f.blob, &t, ready, &f.w), 0);
		assert_int_equal(append((size_t)t.size), 0);
		assert_int_equal(commit(), 0);
		assert_int_equal(store.sizes[0], t.size);
		assert_string_equal(store.parts[0].etag, f.etag);
		blob_write_close(TAKE(f.w));
	}
	assert_int_equal(store.checksums, 0);
	assert_int_equal(done(blob_parts_complete(&f.c, f.blob, "m", id, parts, 0)), -1);
	parts[1].number = 1;
	assert_int_equal(done(blob_parts_complete(&f.c, f.blob, "m", id, parts, 2)), -1);
	assert_int_equal(f.code, INVALID_PARAMETER_VALUE);
	assert_int_equal(counted(COMPLETE), 0);
	meets(COMPLETE, "el");
	assert_int_equal(done(blob_parts_complete(&f.c, f.blob, "m", id, parts, 1)), 0);
	assert_int_equal(store.size, 5 * MIB);
	assert_int_equal(done(blob_parts_abort(&f.c, f.blob, "m", id)), -1);
	assert_int_equal(f.code, RESOURCE_DOES_NOT_EXIST);
	assert_int_equal(blob_parts_create(&f.c, f.blob, "m", &id), 0);
	assert_int_equal(blob_parts_abort(&f.c, f.blob, "m", id), 0);
	assert_false(store.uploading);
}

static void test_signed(void **state)
{
	struct blob_sign in = { .key = "a b/ü", .expires_s = 9, .file_name = "x \"y.txt" };
	struct blob_signed got;
	const char *url;

	(void)state;
	assert_int_equal(blob_sign(&f.c, f.blob, &in, &got), 0);
	assert_non_null(strstr(got.url, "/bucket/pre/a%20b/%C3%BC?"));
	assert_non_null(strstr(got.url, "X-Amz-Expires=9&"));
	assert_non_null(strstr(got.url, "response-content-disposition=attachment%3B%20filename%3D%22x%20%5C%22y"
					".txt%22"));
	in.file_name = "ü";
	assert_int_equal(blob_sign(&f.c, f.blob, &in, &got), 0);
	assert_non_null(strstr(got.url, "attachment%3B%20filename%2A%3DUTF-8%27%27%25C3%25BC"));
	assert_int_equal(got.header_count, 0);
	in = (struct blob_sign){ .key = "k", .write = true, .expires_s = 9, .content_type = "text/csv" };
	assert_int_equal(blob_sign(&f.c, f.blob, &in, &got), 0);
	assert_int_equal(got.header_count, 1);
	assert_string_equal(got.headers[0].name, "Content-Type");
	assert_string_equal(got.headers[0].value, "text/csv");
	assert_non_null(strstr(got.url, "X-Amz-SignedHeaders=content-type%3Bhost&"));
	assert_int_equal(blob_sign_part(&f.c, f.blob, "k", "i=d", 7, 9, &url), 0);
	assert_non_null(strstr(url, "partNumber=7&uploadId=i%3Dd"));
	assert_null(strstr(url, "secret"));
	assert_int_equal(done(blob_sign_part(&f.c, f.blob, "k", "i d", 7, 9, &url)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_checksums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
