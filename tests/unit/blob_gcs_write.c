/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Uploads against a small store of our own that keeps sessions as Google does, strictly: a piece must begin where the
 * session stands, and only the last may have an odd size. It can break at every stage.
 */
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
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/thread.h"
#include "with_bell.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { MIB = 1 << 20, MOST = 24 << 20, ODD = 20 * MIB + 5, CONNECTIONS = 64 };

enum kind {
	NONE,
	CUT_HEAD,                       /* closed before the body is read */
	CUT_PART,                       /* `amount` bytes of the piece are kept, then closed */
	CUT_ANSWER,                     /* all is kept (an object made, perhaps), then closed without an answer */
	CUT_TEXT,                       /* the same, within the answer's body */
	LESS,                           /* `amount` bytes are kept, and said so */
	BUSY,                           /* 503, nothing kept */
	EXPIRED,                        /* 410 */
	LIE,                            /* another CRC than that of the object */
	DAMAGE,                         /* 400 as for a wrong CRC */
	RUDE,                           /* 403 */
};

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t lock;

	/* what to do wrong: at the n-th piece (from 1), so many times */
	enum kind kind;
	unsigned at_piece, times;
	size_t amount;
	bool finishes_when_asked;       /* as fake-gcs-server */

	bool session, final;
	uint64_t persisted;
	char broken[200];               /* how the protocol was violated */
	bool object;
	uint64_t size, generation;
	uint32_t crc;
	unsigned wholes, sessions, pieces, questions, cancels, deletes;
	uint64_t received, deleted;     /* bytes of pieces; the generation of the last delete */
} store = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned char *content;          /* what is uploaded */

/* ---- the store ---- */

struct connection {
	int fd;
	char head[16384];
	size_t length;                  /* of the body, what is not yet read */
};

static bool get(int fd, void *to, size_t n)
{
	return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static bool get_body(struct connection *k, unsigned char *to, size_t n)
{
	k->length -= n;
	return get(k->fd, to, n);
}

static bool get_head(struct connection *k)
{
	size_t at = 0;
	const char *length;

	while (at < 4 || memcmp(k->head + at - 4, "\r\n\r\n", 4) != 0) {
		if (at + 1 >= sizeof(k->head) || !get(k->fd, k->head + at, 1))
			return false;
		at++;
	}
	k->head[at] = '\0';
	length = strcasestr(k->head, "\r\ncontent-length: ");
	k->length = length ? strtoul(length + 18, NULL, 10) : 0;
	if (strcasestr(k->head, "\r\nexpect: 100"))
		(void)!send(k->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
	return true;
}

static void answer(struct connection *k, const char *status, const char *header, const char *body,
		   size_t body_shown)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%.*s",
			 status, header, strlen(body), (int)body_shown, body);

	(void)!send(k->fd, text, (size_t)n, MSG_NOSIGNAL);
}

static void violate(const char *how)
{
	if (!store.broken[0])
		snprintf(store.broken, sizeof(store.broken), "%.150s", how);
}

static void resource(char body[256], bool lie)
{
	char crc[GCS_TAG];

	gcs_crc_text(lie ? ~store.crc : store.crc, crc);
	snprintf(body, 256,
		 "{\"name\":\"x\",\"generation\":\"%llu\",\"size\":\"%llu\",\"crc32c\":\"%s\"}",
		 (unsigned long long)store.generation, (unsigned long long)store.size, crc);
}

static void make_object(uint64_t size)
{
	store.object = true;
	store.size = size;
	store.generation++;
}

/* The next fault, when it is this piece's turn. */
static enum kind fault(unsigned piece)
{
	if (!store.times || piece < store.at_piece)
		return NONE;
	store.times--;
	return store.kind;
}

static const char mismatch[] = "{\"error\":{\"message\":\"Provided CRC32C doesn't match calculated.\"}}";

/* Everything in one request. False: close the connection. */
static bool serve_whole(struct connection *k)
{
	unsigned char *body = malloc(k->length + 1);
	enum kind what;
	size_t length = k->length;
	char text[256], crc[GCS_TAG], *claimed;
	unsigned char *data, *end;
	const char *boundary = strcasestr(k->head, "boundary=");

	store.wholes++;
	what = fault(store.wholes);
	if (what == CUT_HEAD || !body || !boundary || !get_body(k, body, length)) {
		free(body);
		return false;
	}
	body[length] = '\0';
	data = memmem(body, length, "\r\n\r\n", 4);
	data = data ? memmem(data + 4, length - (size_t)(data + 4 - body), "\r\n\r\n", 4) : NULL;
	end = length > 40 ? body + length - 40 : NULL; /* "\r\n--" 32 digits "--\r\n" */
	claimed = strstr((char *)body, "\"crc32c\":\"");
	if (!data || !claimed || end < data + 4 || memcmp(end + 4, boundary + 9, 32) != 0) {
		violate("no multipart/related");
		free(body);
		return false;
	}
	store.crc = crc32c(0, data + 4, (size_t)(end - data - 4));
	gcs_crc_text(store.crc, crc);
	if (memcmp(claimed + 10, crc, 8) != 0)
		violate("the metadata's crc32c is not that of the data");
	if (what == BUSY) {
		answer(k, "503 Busy", "", "", 0);
	} else if (what == RUDE) {
		answer(k, "403 No", "", "", 0);
	} else if (what == DAMAGE) {
		answer(k, "400 Bad Request", "", mismatch, sizeof(mismatch));
	} else {
		if (memcmp(data + 4, content, (size_t)(end - data - 4)) != 0)
			violate("other content");
		make_object((uint64_t)(end - data - 4));
		resource(text, what == LIE);
		if (what != CUT_ANSWER)
			answer(k, "200 OK", "Content-Type: application/json\r\n", text,
			       what == CUT_TEXT ? 7 : sizeof(text));
	}
	free(body);
	return what != CUT_ANSWER && what != CUT_TEXT;
}

static bool keep(struct connection *k, size_t n)
{
	static unsigned char block[65536];

	while (n) {
		size_t part = n < sizeof(block) ? n : sizeof(block);

		if (!get_body(k, block, part))
			return false;
		if (store.persisted + part > MOST || memcmp(block, content + store.persisted, part) != 0)
			violate("other content in a piece");
		store.crc = crc32c(store.crc, block, part);
		store.persisted += part;
		n -= part;
	}
	return true;
}

static bool skip_body(struct connection *k)
{
	static unsigned char block[65536];

	while (k->length)
		if (!get_body(k, block, k->length < sizeof(block) ? k->length : sizeof(block)))
			return false;
	return true;
}

static void say_where(struct connection *k)
{
	char range[64] = "", text[256];

	if (store.final) {
		resource(text, false);
		answer(k, "200 OK", "", text, sizeof(text));
		return;
	}
	if (store.persisted)
		snprintf(range, sizeof(range), "Range: bytes=0-%llu\r\n",
			 (unsigned long long)store.persisted - 1);
	answer(k, "308 Resume Incomplete", range, "", 0);
}

static bool serve_piece(struct connection *k)
{
	const char *range = strcasestr(k->head, "\r\ncontent-range: bytes ");
	unsigned long long from = 0, to = 0, total = 0;
	bool has_total, empty;
	enum kind what;
	char text[256];

	if (!store.session)
		return answer(k, "404 Not Found", "", "", 0), true;
	if (range && !strncmp(range + 23, "*/*", 3)) {
		store.questions++;
		if (store.finishes_when_asked && !store.final) {
			store.final = true;
			make_object(store.persisted);
		}
		return say_where(k), true;
	}
	empty = range && range[23] == '*';
	has_total = range && (empty ? sscanf(range + 25, "%llu", &total) == 1
				    : sscanf(range + 23, "%llu-%llu/%llu", &from, &to, &total) == 3);
	if (!range || (!empty && sscanf(range + 23, "%llu-%llu/", &from, &to) != 2))
		violate("no Content-Range");
	if (!empty && (to - from + 1 != k->length || from != store.persisted))
		violate("a piece that does not begin where the session stands");
	if (!empty && (!has_total || to + 1 < total) && k->length % GCS_QUANTUM)
		violate("an odd piece that is not the last");
	store.pieces++;
	store.received += k->length;
	what = fault(store.pieces);
	switch (what) {
	case CUT_HEAD:
		return false;
	case CUT_PART:
		(void)keep(k, store.amount < k->length ? store.amount : k->length);
		return false;
	case LESS:
		return keep(k, store.amount < k->length ? store.amount : k->length) && skip_body(k) &&
		       (say_where(k), true);
	case BUSY:
		return skip_body(k) && (answer(k, "503 Busy", "", "", 0), true);
	case RUDE:
		return skip_body(k) && (answer(k, "403 No", "", "", 0), true);
	case EXPIRED:
		store.session = false;
		return skip_body(k) && (answer(k, "410 Gone", "", "", 0), true);
	default:
		break;
	}
	if (!keep(k, k->length))
		return false;
	if (has_total && store.persisted == total) {
		store.final = true;
		make_object(total);
	}
	if (what == CUT_ANSWER)
		return false;
	if (store.final) {
		if (!strcasestr(k->head, "\r\nx-goog-hash: crc32c="))
			violate("the last piece comes without a hash");
		resource(text, what == LIE);
		answer(k, "200 OK", "", text, what == CUT_TEXT ? 7 : sizeof(text));
	} else {
		say_where(k);
	}
	return what != CUT_TEXT;
}

static bool serve_session(struct connection *k)
{
	char header[128];
	const char *announced = strcasestr(k->head, "\r\nx-upload-content-length: ");

	if (!skip_body(k))
		return false;
	store.sessions++;
	store.session = true;
	store.final = false;
	store.persisted = 0;
	store.crc = 0;
	if (announced && strtoull(announced + 27, NULL, 10) > MOST)
		violate("a strange length was announced");
	snprintf(header, sizeof(header), "Location: http://127.0.0.1:%u/session/%u?upload_id=a\r\n",
		 store.port, store.sessions);
	answer(k, "200 OK", header, "", 0);
	return true;
}

static bool serve_one(struct connection *k)
{
	const char *generation;

	if (!strncmp(k->head, "POST /upload/storage/v1/b/bucket/o?uploadType=multipart&name=p%2Fk&", 67))
		return serve_whole(k);
	if (!strncmp(k->head, "POST /upload/storage/v1/b/bucket/o?uploadType=resumable&name=p%2Fk&", 67))
		return serve_session(k);
	if (!strncmp(k->head, "PUT /session/", 13))
		return serve_piece(k);
	if (!strncmp(k->head, "DELETE /session/", 16)) {
		store.cancels++;
		store.session = false;
		answer(k, "499 Client Closed Request", "", "", 0);
		return true;
	}
	generation = strstr(k->head, "?generation=");
	if (!strncmp(k->head, "DELETE /storage/v1/b/bucket/o/p%2Fk", 35) && generation) {
		store.deletes++;
		store.deleted = strtoull(generation + 12, NULL, 10);
		answer(k, "204 No Content", "", "", 0);
		return true;
	}
	violate(k->head);
	return false;
}

static void *serve_connection(void *arg)
{
	struct connection *k = arg;
	bool more = true;

	while (more && get_head(k)) {
		pthread_mutex_lock(&store.lock);
		more = serve_one(k);
		pthread_mutex_unlock(&store.lock);
	}
	close(k->fd);
	free(k);
	return NULL;
}

static void *serve(void *arg)
{
	pthread_t thread;

	(void)arg;
	while (!atomic_load(&store.stop)) {
		struct pollfd p = { .fd = store.socket, .events = POLLIN };
		struct connection *k;

		if (poll(&p, 1, 50) <= 0)
			continue;
		k = calloc(1, sizeof(*k));
		k->fd = accept(store.socket, NULL, NULL);
		if (thread_start(&thread, "connection", serve_connection, k))
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

/* ---- the client ---- */

static struct blob *blob;
static struct ctx ctx;
static char etag[BLOB_ETAG];

static void begin(enum kind kind, unsigned at_piece, unsigned times, size_t amount)
{
	pthread_mutex_lock(&store.lock);
	store.kind = kind;
	store.at_piece = at_piece;
	store.times = times;
	store.amount = amount;
	store.finishes_when_asked = store.session = store.final = store.object = false;
	store.broken[0] = '\0';
	store.wholes = store.sessions = store.pieces = store.questions = 0;
	store.cancels = store.deletes = 0;
	store.persisted = store.size = store.received = store.deleted = 0;
	store.crc = 0;
	pthread_mutex_unlock(&store.lock);
	arena_reset(ctx.arena);
	ctx.error = (struct error){ 0 };
}

static struct blob_writer *open_writer(int64_t announced)
{
	const struct blob_target t = { .key = "k", .size = announced, .content_type = "text/x" };
	struct blob_writer *w = NULL;

	assert_int_equal(blob_write_begin(&ctx, blob, &t, (struct blob_ready){ ring, NULL }, &w), 0);
	return w;
}

static int put(struct blob_writer *w, size_t from, size_t to)
{
	while (from < to) {
		size_t taken = 0, n = to - from < 100000 ? to - from : 100000;
		int rc = blob_write(&ctx, w, content + from, n, &taken);

		if (rc < 0)
			return -1;
		from += taken;
		if (rc == BLOB_AGAIN) {
			assert_int_equal(taken, 0);
			await();
		}
	}
	return 0;
}

static int commit(struct blob_writer *w)
{
	int rc;

	while ((rc = blob_write_commit(&ctx, w, etag)) == BLOB_AGAIN)
		await();
	return rc;
}

static int upload(size_t size, bool announced)
{
	struct blob_writer *w = open_writer(announced ? (int64_t)size : -1);
	int rc = put(w, 0, size);

	assert_true(!store.object || store.finishes_when_asked);
	if (!rc)
		rc = commit(w);
	blob_write_close(w);
	return rc;
}

static void check_object(size_t size)
{
	char want[BLOB_ETAG];

	if (store.broken[0])
		fail_msg("%s", store.broken);
	assert_true(store.object);
	assert_int_equal(store.size, size);
	assert_int_equal(store.crc, crc32c(0, content, size));
	snprintf(want, sizeof(want), "\"g%llu\"", (unsigned long long)store.generation);
	assert_string_equal(etag, want);
	assert_int_equal(store.cancels, 0);
	assert_int_equal(store.deletes, 0);
}

static void expect_error(enum error_code code)
{
	if (ctx.error.code != code)
		fail_msg("%s: %s (%s)", error_name(ctx.error.code), ctx.error.message,
			 ctx.error.detail ? ctx.error.detail : "");
}

/* What happens in the background. */
static void expect_soon(const unsigned *count, unsigned want)
{
	int64_t until = clock_ms() + 5000;
	unsigned have;

	do {
		pthread_mutex_lock(&store.lock);
		have = *count;
		pthread_mutex_unlock(&store.lock);
	} while (have != want && clock_ms() < until && !usleep(2000));
	assert_int_equal(have, want);
}

/* ---- tests ---- */

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, GCS_QUANTUM, GCS_QUANTUM + 1, REMOTE_PART,
					REMOTE_PART + 1, 2 * REMOTE_PART, 2 * REMOTE_PART + 1, ODD };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i / 2];
		bool one = size <= REMOTE_PART;

		begin(NONE, 0, 0, 0);
		assert_int_equal(upload(size, i % 2), 0);
		check_object(size);
		assert_int_equal(store.wholes, one);
		assert_int_equal(store.sessions, !one);
		assert_int_equal(store.pieces, one ? 0 : (size + REMOTE_PART - 1) / REMOTE_PART);
		assert_int_equal(store.questions, 0);
	}
}

/* Whatever breaks, the bytes arrive, and hardly any of them twice. */
static void test_breaks(void **state)
{
	static const struct {
		enum kind kind;
		unsigned at_piece, times;
		size_t amount;
		unsigned again;         /* pieces that are sent again */
	} cases[] = {
		{ CUT_HEAD, 1, 1, 0, 1 },
		{ CUT_HEAD, 3, 3, 0, 3 },
		{ CUT_PART, 1, 1, 0, 1 },
		{ CUT_PART, 1, 1, GCS_QUANTUM, 1 },
		{ CUT_PART, 2, 2, 5 * GCS_QUANTUM, 2 },
		{ CUT_PART, 3, 1, GCS_QUANTUM, 1 },
		{ CUT_ANSWER, 1, 1, 0, 0 },
		{ CUT_ANSWER, 2, 1, 0, 0 },
		{ CUT_ANSWER, 3, 1, 0, 0 },     /* the last: the object is there already */
		{ CUT_TEXT, 3, 1, 0, 0 },
		{ LESS, 1, 1, 0, 1 },
		{ LESS, 1, 1, 3 * GCS_QUANTUM, 1 },
		{ LESS, 3, 1, GCS_QUANTUM, 1 },
		{ LESS, 1, 20, GCS_QUANTUM, 20 },       /* slow, but it gets on */
		{ BUSY, 1, 2, 0, 2 },
		{ BUSY, 3, 1, 0, 1 },
		{ EXPIRED, 1, 1, 0, 1 },        /* all is still in memory */
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = i / 2;

		begin(cases[n].kind, cases[n].at_piece, cases[n].times, cases[n].amount);
		if (upload(ODD, i % 2))
			fail_msg("break %zu: %s (%s)", n, ctx.error.message, ctx.error.detail ? ctx.error.detail : "");
		check_object(ODD);
		assert_int_equal(store.times, 0);
		assert_int_equal(store.pieces, 3 + cases[n].again);
		assert_int_equal(store.sessions, cases[n].kind == EXPIRED ? 2 : 1);
		assert_true(store.received <= ODD + cases[n].again * (uint64_t)REMOTE_PART);
	}
}

static void test_breaks_whole(void **state)
{
	static const enum kind kinds[] = { CUT_HEAD, CUT_ANSWER, CUT_TEXT, BUSY, DAMAGE };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin(kinds[i], 1, 1, 0);
		assert_int_equal(upload(MIB + 7, true), 0);
		check_object(MIB + 7);
		assert_int_equal(store.wholes, 2);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	begin(RUDE, 1, 1, 0);
	assert_int_equal(upload(10, true), -1);
	expect_error(PERMISSION_DENIED);
	assert_int_equal(store.wholes, 1);

	begin(RUDE, 2, 1, 0);
	assert_int_equal(upload(ODD, true), -1);
	expect_error(PERMISSION_DENIED);
	expect_soon(&store.cancels, 1);
	assert_false(store.object);

	/* The first piece is given up: nothing can bring it back. */
	begin(EXPIRED, 2, 1, 0);
	assert_int_equal(upload(ODD, true), -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	assert_int_equal(store.sessions, 1);

	begin(BUSY, 2, 1000, 0);
	assert_int_equal(upload(ODD, true), -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	assert_true(store.pieces < 15);
	expect_soon(&store.cancels, 1);
	assert_false(store.object);
}

static void test_lies(void **state)
{
	struct blob_writer *w;
	size_t taken;
	int rc = 0;

	(void)state;
	begin(LIE, 1, 1, 0);
	assert_int_equal(upload(1000, true), -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	expect_soon(&store.deletes, 1);
	assert_int_equal(store.deleted, store.generation);

	begin(LIE, 3, 1, 0);
	assert_int_equal(upload(ODD, false), -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	expect_soon(&store.deletes, 1);
	assert_int_equal(store.deleted, store.generation);

	/* An object that is made by the mere question how far it got. */
	begin(CUT_PART, 2, 1, GCS_QUANTUM);
	store.finishes_when_asked = true;
	assert_int_equal(upload(ODD, true), -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	expect_soon(&store.deletes, 1);
	assert_int_equal(store.deleted, store.generation);

	/* The same with all bytes that came so far. */
	begin(CUT_ANSWER, 1, 1, 0);
	store.finishes_when_asked = true;
	w = open_writer(ODD);
	assert_int_equal(put(w, 0, REMOTE_PART), 0);
	for (int64_t until = clock_ms() + 5000; !rc && clock_ms() < until; usleep(2000))
		rc = blob_write(&ctx, w, content, 0, &taken);
	blob_write_close(w);
	assert_int_equal(rc, -1);
	expect_error(TEMPORARILY_UNAVAILABLE);
	expect_soon(&store.deletes, 1);
}

static void test_close(void **state)
{
	static const size_t written[] = { 0, 100, MIB, REMOTE_PART + MIB,
					  2 * REMOTE_PART + MIB, REMOTE_PART + MIB };

	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		struct blob_writer *w;

		begin(NONE, 0, 0, 0);
		w = open_writer(i % 2 ? ODD : -1);
		assert_int_equal(put(w, 0, written[i]), 0);
		/* Full pieces go out, however long the client pauses then. */
		expect_soon(&store.pieces, (unsigned)(written[i] / REMOTE_PART));
		blob_write_close(w);
		if (written[i] > MIB)
			expect_soon(&store.cancels, 1);
		assert_false(store.object);
		assert_int_equal(store.wholes, 0);
	}
	assert_string_equal(store.broken, "");
}

static void test_lengths(void **state)
{
	struct blob_writer *w;
	size_t taken;

	(void)state;
	begin(NONE, 0, 0, 0);
	w = open_writer(5);
	assert_int_equal(blob_write(&ctx, w, content, 6, &taken), -1);
	expect_error(INVALID_PARAMETER_VALUE);
	blob_write_close(w);

	begin(NONE, 0, 0, 0);
	w = open_writer(5);
	assert_int_equal(put(w, 0, 4), 0);
	assert_int_equal(commit(w), -1);
	expect_error(INVALID_PARAMETER_VALUE);
	blob_write_close(w);
	assert_int_equal(store.wholes, 0);
}

/* Without memory for parts it goes on in small pieces, and slows nobody else down. */
static void test_no_memory(void **state)
{
	enum { PARTS = REMOTE_PART_MEMORY / REMOTE_PART };
	void *parts[PARTS];

	(void)state;
	for (size_t i = 0; i < PARTS; i++)
		assert_non_null(parts[i] = remote_part_take(REMOTE_PART));
	for (int announced = 0; announced < 2; announced++) {
		begin(CUT_PART, 3, 1, 0);
		if (upload(MIB + 3, announced))
			fail_msg("%s (%s)", ctx.error.message, ctx.error.detail);
		check_object(MIB + 3);
		assert_int_equal(store.wholes, 0);
		assert_int_equal(store.pieces, 6);

		begin(NONE, 0, 0, 0);
		assert_int_equal(upload(1000, announced), 0);
		check_object(1000);
		assert_int_equal(store.wholes, 1);
	}
	for (size_t i = 0; i < PARTS; i++)
		remote_part_give(parts[i], REMOTE_PART);
	/* And all of it comes back from uploads, too. */
	for (size_t i = 0; i < PARTS; i++)
		assert_non_null(parts[i] = remote_part_take(REMOTE_PART));
	for (size_t i = 0; i < PARTS; i++)
		remote_part_give(parts[i], REMOTE_PART);
}

static int setup(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	char host[32];

	(void)state;
	net_init();
	content = malloc(MOST);
	for (size_t i = 0; i < MOST; i++)
		content[i] = (unsigned char)(i ^ i >> 7 ^ i >> 15);
	store.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(store.socket, (struct sockaddr *)&a, n) || listen(store.socket, CONNECTIONS) ||
	    getsockname(store.socket, (struct sockaddr *)&a, &n))
		return -1;
	store.port = ntohs(a.sin_port);
	store.generation = 1000;
	snprintf(host, sizeof(host), "127.0.0.1:%u", store.port);
	setenv("STORAGE_EMULATOR_HOST", host, 1);
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	ctx.arena = arena_new(64 << 20);
	blob = blob_gcs.open(&ctx, "gs://bucket/p");
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
	free(content);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),      cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_breaks_whole), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lies),       cmocka_unit_test(test_close),
		cmocka_unit_test(test_lengths),    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
