/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A transfer between its two sides: the event thread that owns the socket, and whichever engine
 * thread takes it.
 *
 * Two locks, engine's may be taken under transfer's, never the other way:
 *   transfer.lock  what both sides see: ring positions, outcome, the armed wake
 *   engine.lock    who works on it: phase, queues, counts
 * The engine side alone touches reader, writer and offset; they need no lock, as a transfer is on
 * one thread at a time. A direct download hands reader, offset and arena to the event side until it
 * closes, but for the time of `fetching`.
 */
#ifndef ARTIFACTS_TRANSFER_IMPL_H
#define ARTIFACTS_TRANSFER_IMPL_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "artifacts/transfer.h"
#include "blob/blob.h"
#include "ring.h"

enum { STEP_ARENA = 1 << 20 };

enum phase {
	WAITING, /* for one of LIMIT_TRANSFERS places */
	IDLE,    /* nothing to do for the engine */
	QUEUED,
	RUNNING,
};

struct transfer {
	struct transfer_engine *engine;
	struct stream what; /* its strings are ours */
	void (*wake)(void *arg);
	void *wake_arg;

	/* engine.lock */
	struct transfer *next, *previous;
	struct transfer *all_next, **all_link;
	enum phase phase;
	bool again; /* asked for while RUNNING */
	bool closed;

	pthread_mutex_t lock;
	pthread_cond_t woken; /* waking ended */
	bool admitted;
	bool armed;
	bool waking;     /* an engine thread is inside wake() */
	bool deaf;       /* closing: no more wake() */
	bool opened;     /* download: head is set */
	bool head_taken; /* download: by transfer_open() */
	bool finishing;  /* upload: no more bytes come */
	bool done;
	bool failed;
	bool here;       /* its store never waits, and it is short or not yet open: the event side takes turns itself */
	bool direct;     /* download: opened, and from now on the event side reads the store itself */
	bool readable;   /* ... `ready` was called since it last did */
	bool fetching;   /* ... met what a disk must be waited for: the engine reads a ring of it */
	struct ring ring;
	uint64_t moved; /* upload: pushed; download: pulled */
	struct transfer_head head;
	struct error error;
	char message[1400]; /* the error's texts: a copy that needs no memory */
	char detail[600];
	char etag[BLOB_ETAG]; /* upload: of what was made */

	int64_t told_ms; /* event side: when a push last called the engine */

	/* engine side */
	struct blob_reader *reader;
	struct blob_writer *writer;
	bool begun;
	uint64_t offset; /* download: of the next byte to read */
	uint64_t end;
	struct arena *arena; /* of direct reads */
	EVP_MD_CTX *hash; /* of the bytes so far; NULL: not wanted */
	unsigned char sha256[TRANSFER_SHA256]; /* upload: of all; read by the event side when done */
	bool hashed;
};

struct transfer_engine {
	struct blob *root;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct transfer *first, *last; /* to run */
	struct transfer *waiting_first, *waiting_last;
	unsigned active, waiting;
	struct transfer *all;
	bool stopping;
	_Atomic bool cut;
	_Atomic uint64_t started, finished, failed, bytes_in, bytes_out;
	unsigned thread_count;
	pthread_t threads[];
};

/* ---- engine.c ---- */

/* The store's `ready`: wakes the side that goes on. */
void engine_ready(void *t);
/* Has an engine thread look at t. Not under engine.lock. */
void engine_schedule(struct transfer *t);
/* A turn in the caller's thread, which is the event side's; an engine thread that is at it goes on instead. */
void engine_turn(struct transfer *t);
/* Takes a place or a seat in the queue for one. False: none left. */
bool engine_enter(struct transfer *t);
/* The last call of the event side: ends it now or hands it to an engine thread to end. */
void engine_leave(struct transfer *t);

/* ---- transfer.c ---- */

/* Whether the call that said WAIT would say something else now. Under transfer.lock. */
bool transfer_ready(const struct transfer *t);
/* Keeps the first error. Under transfer.lock. */
void transfer_fail(struct transfer *t, const struct error *e);
void transfer_free(struct transfer *t);

/* ---- hash.c ---- */

int hash_begin(struct ctx *c, struct transfer *t) MUST_CHECK;
/* Nothing without hash_begin(). */
int hash_add(struct ctx *c, struct transfer *t, const void *data, size_t n) MUST_CHECK;
/* Once: into t->sha256. */
int hash_end(struct ctx *c, struct transfer *t) MUST_CHECK;
void hash_drop(struct transfer *t);

/* ---- upload.c, download.c ---- */

/* Goes on as far as one ring's worth. -1: c's error ends the transfer; 0: nothing left to do for
 * now; 1: more. */
int upload_step(struct ctx *c, struct transfer *t);
int download_step(struct ctx *c, struct transfer *t);

/* The event side of a direct download, as transfer_pull(). */
enum transfer_state download_pull(struct transfer *t, char *out, size_t n, size_t *got);

#endif
