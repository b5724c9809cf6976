/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* credential_process of a profile: run without a shell, as botocore does. What it writes to standard output is never
   repeated. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws_impl.h"
#include "base/arena.h"
#include "base/clock.h"

enum { DEADLINE_MS = 60000, OUTPUT_MOST = 64 << 10, ERRORS_MOST = 500, LOOK_MS = 50 };

extern char **environ;

struct stream {
	int fd;
	char *text;
	size_t size, most;
};

struct child {
	pid_t pid;
	struct stream streams[2];       /* output, errors */
	int64_t deadline;
	bool too_much;
};

static int make_actions(posix_spawn_file_actions_t *a, int out, int err)
{
	return posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0)
	       || posix_spawn_file_actions_adddup2(a, out, 1)
	       || posix_spawn_file_actions_adddup2(a, err, 2)
	       || posix_spawn_file_actions_addclosefrom_np(a, 3);
}

/* A group of its own, to be ended whole; signals as a program expects them, which our threads block. */
static int make_attributes(posix_spawnattr_t *a)
{
	sigset_t none, usual;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	return posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK
	                                       | POSIX_SPAWN_SETSIGDEF)
	       || posix_spawnattr_setsigmask(a, &none) || posix_spawnattr_setsigdefault(a, &usual);
}

static int spawn(struct child *k, char **words, int out, int err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = ENOMEM;

	if (posix_spawn_file_actions_init(&actions))
		return error;
	if (!posix_spawnattr_init(&attributes)) {
		if (!make_actions(&actions, out, err) && !make_attributes(&attributes))
			error = posix_spawnp(&k->pid, words[0], &actions, &attributes, words, environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int begin(struct ctx *c, struct child *k, char **words)
{
	int out[2];
	int err[2];
	int error;

	if (pipe2(out, O_CLOEXEC))
		return fail(c, TEMPORARILY_UNAVAILABLE, "No file descriptor is left; try again later.");
	if (pipe2(err, O_CLOEXEC)) {
		close(out[0]);
		close(out[1]);
		return fail(c, TEMPORARILY_UNAVAILABLE, "No file descriptor is left; try again later.");
	}
	error = spawn(k, words, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	k->streams[0].fd = out[0];
	k->streams[1].fd = err[0];
	if (!error)
		return 0;
	close(out[0]);
	close(err[0]);
	return fail_because(c, AWS_TROUBLE, strerror(error), "it cannot be started");
}

/* What is more than there is room for is read all the same, so that it can end. */
static void take(struct child *k, struct stream *s)
{
	char spare[1024];
	bool full = s->size == s->most;
	ssize_t n = full ? read(s->fd, spare, sizeof(spare))
	                 : read(s->fd, s->text + s->size, s->most - s->size);

	if (n > 0 && full)
		k->too_much = k->too_much || s == &k->streams[0];
	else if (n > 0)
		s->size += (size_t)n;
	else if (!(n < 0 && errno == EINTR)) {
		close(s->fd);
		s->fd = -1;
	}
}

static int give_up(struct ctx *c, const struct child *k)
{
	const _Atomic bool *cancel = identity_cancel();

	if (cancel && atomic_load(cancel))
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping.");
	if (clock_ms() > k->deadline)
		return fail(c, TEMPORARILY_UNAVAILABLE, "it did not end within %d seconds",
		            DEADLINE_MS / 1000);
	return 0;
}

static int read_all(struct ctx *c, struct child *k)
{
	while (k->streams[0].fd >= 0 || k->streams[1].fd >= 0) {
		struct pollfd p[2] = { { k->streams[0].fd, POLLIN, 0 }, { k->streams[1].fd, POLLIN, 0 } };

		if (give_up(c, k))
			return -1;
		if (poll(p, 2, LOOK_MS) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			if (p[i].revents)
				take(k, &k->streams[i]);
		}
	}
	return 0;
}

static int end(struct ctx *c, struct child *k, int *status)
{
	int result = read_all(c, k);
	pid_t ended = 0;

	while (!result && (ended = waitpid(k->pid, status, WNOHANG)) == 0) {
		result = give_up(c, k);
		if (!result)
			result = aws_pause(c, 10);
	}
	for (int i = 0; i < 2; i++) {
		if (k->streams[i].fd >= 0)
			close(k->streams[i].fd);
	}
	if (!ended) {
		kill(-k->pid, SIGKILL);
		while (waitpid(k->pid, status, 0) < 0 && errno == EINTR)
			;
	}
	return result;
}

static int read_answer(struct ctx *c, const struct child *k, struct identity_value *ret)
{
	const json_t *json = aws_json(c, k->streams[0].text, k->streams[0].size);
	const json_t *expires = json_object_get(json, "Expiration");

	if (!json)
		return fail(c, AWS_TROUBLE, "what it wrote to its standard output is no JSON object");
	if (json_integer_value(json_object_get(json, "Version")) != 1)
		return fail(c, AWS_TROUBLE, "\"Version\" in its output is not 1");
	ret->text[AWS_KEY_ID] = aws_json_text(json, "AccessKeyId");
	ret->text[AWS_SECRET] = aws_json_text(json, "SecretAccessKey");
	ret->text[AWS_TOKEN] = aws_json_text(json, "SessionToken");
	if (!ret->text[AWS_KEY_ID] || !ret->text[AWS_SECRET])
		return fail(c, AWS_TROUBLE, "\"%s\" is missing in its output",
		            ret->text[AWS_KEY_ID] ? "SecretAccessKey" : "AccessKeyId");
	if (!expires || json_is_null(expires))
		return 0;
	ret->expires_ms = aws_time(json_string_value(expires));
	if (ret->expires_ms < 0)
		return fail(c, AWS_TROUBLE, "\"Expiration\" in its output is no ISO 8601 time");
	return 0;
}

static int run(struct ctx *c, const char *command, struct identity_value *ret)
{
	char **words = aws_words(c, command);
	struct child k = { .deadline = clock_ms() + DEADLINE_MS };
	int status = 0;

	if (!words || !words[0])
		return fail(c, AWS_TROUBLE, "the command is %s", words ? "empty" : "not quoted correctly");
	k.streams[0] = (struct stream){ -1, arena_alloc(c->arena, OUTPUT_MOST), 0, OUTPUT_MOST };
	k.streams[1] = (struct stream){ -1, arena_alloc(c->arena, ERRORS_MOST + 1), 0, ERRORS_MOST };
	if (begin(c, &k, words) || end(c, &k, &status))
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail_because(c, AWS_TROUBLE, k.streams[1].text, "it failed (%s %d)",
		                    WIFEXITED(status) ? "exit status" : "signal",
		                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	if (k.too_much)
		return fail(c, AWS_TROUBLE, "its output is longer than %d bytes", OUTPUT_MOST);
	return read_answer(c, &k, ret);
}

int aws_process(struct ctx *c, const char *profile, const char *command, struct identity_value *ret)
{
	if (run(c, command, ret))
		return aws_explain(c, "The credential_process of the AWS profile '%s' gave no credentials",
		                   profile);
	return 1;
}
