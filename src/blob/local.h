/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* local — the parts of the directory store, shared by its files only. */
#ifndef BLOB_LOCAL_H
#define BLOB_LOCAL_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "blob/ops.h"

#define LOCAL_TMP        ".capstan-tmp"
#define LOCAL_MLFLOW_TMP ".artifact.uploading." /* what MLflow's own server leaves behind */

enum {
	LOCAL_NAME = 32,        /* bytes of a temporary's name */
	LOCAL_LISTING = 500000, /* entries of one directory */
};

struct local {
	struct blob blob;
	int root;
	int tmp; /* LOCAL_TMP */
	int own; /* LOCAL_TMP/<own_name>, locked while we live */
	char own_name[17];
	atomic_uint making; /* uploads that make directories not yet known durable */
	atomic_bool doubt; /* a directory could not be synced: sync all that are used from now on */
	atomic_uint serial;
	bool unnamed; /* O_TMPFILE works here */
};

/* ---- local_path.c: the only place that opens names ---- */

/* openat2 beneath `dir`, without symlinks. -1 with errno. */
int local_open(int dir, const char *path, int flags, mode_t mode);

/* The directory that holds key, and in *name its last segment. -1 with errno. */
int local_open_parent(struct local *l, const char *key, const char **name);

/* The same, making what is missing. *made: how many bytes of key name directories that were there
   before (for local_unmake); every directory made is durable on return. -1 with errno. */
int local_make_parent(struct local *l, const char *key, const char **name, size_t *made);

/* Removes empty directories of key beyond its first `made` bytes. */
void local_unmake(struct local *l, const char *key, size_t made);

/* Makes the entries of all directories of key durable. */
int local_sync_parents(struct local *l, const char *key);

/* Whether the store may be asked for this key at all: not its temporaries. */
bool local_key_hidden(const char *key);

void local_etag(const struct stat *st, char etag[BLOB_ETAG]);

/* fail() for errno of an operation on the store. */
int local_fail(struct ctx *c, int err, const char *doing);

void local_closep(const int *fd);

/* Hands a descriptor over, past its CLEANUP. */
#define TAKE_FD(fd)                                                                                \
	(__extension__({                                                                           \
		int fd_ = (fd);                                                                    \
		(fd) = -1;                                                                         \
		fd_;                                                                               \
	}))

/* ---- local_tmp.c ---- */

/* Opens LOCAL_TMP and our own folder in it; removes those of dead processes. -1 with errno. */
int local_tmp_open(struct local *l);
void local_tmp_close(struct local *l);
void local_tmp_name(struct local *l, char name[LOCAL_NAME]);

/* Removes the tree dir/name, however deep, in constant memory. -1 with errno. */
int local_remove_tree(struct local *l, int dir, const char *name, uint64_t *bytes);

/* ---- local_write.c ---- */

struct local_file { /* a file that is not yet visible */
	int fd;
	char name[LOCAL_NAME]; /* in own; "" while it has none */
};

int local_file_begin(struct local *l, struct local_file *f);
void local_file_end(struct local *l, struct local_file *f);
/* f, already synced, becomes key. */
int local_publish(struct ctx *c, struct local *l, struct local_file *f, const char *key);

int local_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		      struct blob_ready ready, struct blob_writer **ret);
int local_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n, size_t *taken);
int local_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG]);
void local_write_close(struct blob_writer *w);

/* ---- local_parts.c ---- */

/* The folder of an upload to key. -1: error set. */
int local_parts_open(struct ctx *c, struct local *l, const char *key, const char *upload_id);
void local_part_name(unsigned part, char name[LOCAL_NAME]);

int local_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id);
int local_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			 const struct blob_part *parts, size_t count);
int local_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id);

#endif
