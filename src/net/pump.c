/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The thread: sockets in epoll, libcurl's timer, pauses before retries, and about four times per stall time a look at
 * who made no progress. An exchange that is over is touched no more, so its owner frees it; all others the thread frees.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "pump_impl.h"

enum {
	KEPT = 64,                      /* idle connections */
	EVENTS = 64,
	SCAN_LEAST_MS = 25,
	SCAN_MOST_MS = 500,
};

static const struct easy_end head_too_large = {
	CURLE_OK, "too_large", TEMPORARILY_UNAVAILABLE, "The answer's headers are too large.",
};

/* ---- the places of an exchange ---- */

static struct net_exchange **list_of(struct net_pump *p, enum pump_place place)
{
	if (place == PLACE_DELAYED)
		return &p->delayed;
	return place == PLACE_ACTIVE ? &p->active : NULL;
}

static void move(struct net_exchange *x, enum pump_place place)
{
	struct net_exchange **from = list_of(x->pump, x->place);
	struct net_exchange **to = list_of(x->pump, place);

	if (from) {
		if (x->previous)
			x->previous->next = x->next;
		else
			*from = x->next;
		if (x->next)
			x->next->previous = x->previous;
	}
	if (to) {
		x->previous = NULL;
		x->next = *to;
		if (*to)
			(*to)->previous = x;
		*to = x;
	}
	x->place = place;
}

static void earlier(int64_t *when, int64_t than)
{
	if (than < *when)
		*when = than;
}

static void leave_multi(struct net_exchange *x)
{
	struct net_pump *p = x->pump;
	long connects = 0;

	if (x->place == PLACE_ACTIVE) {
		curl_easy_getinfo(x->easy.curl, CURLINFO_NUM_CONNECTS, &connects);
		curl_multi_remove_handle(p->multi, x->easy.curl);
		atomic_fetch_add(&p->connects, (uint64_t)connects);
		curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS,
		                  (long)atomic_fetch_sub(&p->count, 1) - 1 + KEPT);
	}
	move(x, PLACE_OVER);
}

/* The end of all work on it in this thread. */
static void finish(struct net_exchange *x, CURLcode code)
{
	struct net_pump *p = x->pump;
	const struct easy_end *end = NULL;
	curl_off_t retry = 0;
	long request = 0;

	if (x->no_memory)
		code = CURLE_OUT_OF_MEMORY;
	if (code != CURLE_OK)
		end = x->too_large ? &head_too_large : easy_end(&x->easy, code);
	curl_easy_getinfo(x->easy.curl, CURLINFO_RETRY_AFTER, &retry);
	curl_easy_getinfo(x->easy.curl, CURLINFO_REQUEST_SIZE, &request);
	leave_multi(x);
	if (end)
		atomic_fetch_add(&p->failures, 1);
	pthread_mutex_lock(&x->lock);
	x->done = true;
	x->end = end;
	x->code = code;
	x->retry_after_s = retry > 0 ? retry : 0;
	x->unsent = end && !x->status && (!x->easy.begun || !request);
	x->recv_paused = x->send_paused = false;
	x->body = NULL;
	ring_free(&x->out);
	if (!x->in.used)
		ring_free(&x->in);
	pthread_mutex_unlock(&x->lock);
	easy_clear(&x->easy);
	pump_notify(x);
	pthread_mutex_lock(&p->lock);
	x->over = true;
	pthread_mutex_unlock(&p->lock);
}

/* What libcurl's callbacks left to do. An exchange that this finishes may be gone afterwards. */
static void flush(struct net_pump *p)
{
	while (p->dirty) {
		struct net_exchange *x = p->dirty;

		p->dirty = x->dirty_next;
		x->dirty = false;
		/* The answer is there: what is left of the upload ends with the next read. */
		if (x->send_paused && x->head_done)
			pump_resume(x);
		if (x->broke != CURLE_OK)
			finish(x, x->broke);
		else
			pump_notify(x);
	}
}

/* libcurl does so itself unless it breaks while a body is sent: a kept connection that the peer has closed gives way to
   a new one, once, where nothing is lost. */
static bool begin_again(struct net_exchange *x, CURLcode code)
{
	CURLM *multi = x->pump->multi;
	long connects = 0;

	curl_easy_getinfo(x->easy.curl, CURLINFO_NUM_CONNECTS, &connects);
	if (code != CURLE_SEND_ERROR || connects || x->status || !pump_rewind(x))
		return false;
	curl_easy_setopt(x->easy.curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_multi_remove_handle(multi, x->easy.curl);
	x->easy.said[0] = '\0';
	x->moved_ms = clock_ms();
	if (curl_multi_add_handle(multi, x->easy.curl) == CURLM_OK)
		return true;
	x->no_memory = true;
	return false;
}

static void reap(struct net_pump *p)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(p->multi, &left))) {
		struct net_exchange *x = NULL;
		CURLcode code;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
		code = message->data.result;
		if (!begin_again(x, code))
			finish(x, code);
	}
}

static void act(struct net_pump *p, curl_socket_t socket, int events)
{
	int running;

	curl_multi_socket_action(p->multi, socket, events, &running);
	flush(p);
	reap(p);
}

static void resume(struct net_exchange *x)
{
	struct net_pump *p = x->pump;

	pump_resume(x);
	flush(p);
}

static int64_t scan_after(const struct net_exchange *x)
{
	int64_t ms = x->stall_ms / 4;

	if (ms < SCAN_LEAST_MS)
		return SCAN_LEAST_MS;
	return ms < SCAN_MOST_MS ? ms : SCAN_MOST_MS;
}

static void begin(struct net_exchange *x)
{
	struct net_pump *p = x->pump;

	atomic_fetch_add(&p->exchanges, 1);
	x->moved_ms = clock_ms();
	earlier(&p->scan_ms, x->moved_ms + scan_after(x));
	if (curl_multi_add_handle(p->multi, x->easy.curl) != CURLM_OK) {
		x->no_memory = true;
		finish(x, CURLE_OUT_OF_MEMORY);
		return;
	}
	move(x, PLACE_ACTIVE);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS,
	                  (long)atomic_fetch_add(&p->count, 1) + 1 + KEPT);
}

static void proceed(struct net_exchange *x)
{
	struct net_pump *p = x->pump;

	if (x->place == PLACE_ACTIVE) {
		resume(x);
	} else if (x->place == PLACE_NEW && x->delay_ms > 0) {
		x->due_ms = clock_ms() + x->delay_ms;
		earlier(&p->due_ms, x->due_ms);
		move(x, PLACE_DELAYED);
	} else if (x->place == PLACE_NEW) {
		begin(x);
	}
}

static void give_up(struct net_exchange *x)
{
	leave_multi(x);
	easy_clear(&x->easy);
	pump_exchange_free(x);
}

/* ---- clocks ---- */

static void start_due(struct net_pump *p, int64_t now)
{
	if (now < p->due_ms)
		return;
	p->due_ms = INT64_MAX;
	for (struct net_exchange *x = p->delayed, *next; x; x = next) {
		next = x->next;
		if (x->due_ms <= now)
			begin(x);
		else
			earlier(&p->due_ms, x->due_ms);
	}
}

static uint64_t bytes_moved(const struct net_exchange *x)
{
	curl_off_t up = 0;
	curl_off_t down = 0;
	long heads = 0;
	long request = 0;

	curl_easy_getinfo(x->easy.curl, CURLINFO_SIZE_UPLOAD_T, &up);
	curl_easy_getinfo(x->easy.curl, CURLINFO_SIZE_DOWNLOAD_T, &down);
	curl_easy_getinfo(x->easy.curl, CURLINFO_HEADER_SIZE, &heads);
	curl_easy_getinfo(x->easy.curl, CURLINFO_REQUEST_SIZE, &request);
	return (uint64_t)up + (uint64_t)down + (uint64_t)heads + (uint64_t)request;
}

/* True: it stands still, and not because of us. */
static bool stalled(struct net_exchange *x, int64_t now)
{
	uint64_t moved = bytes_moved(x);
	bool ours;

	pthread_mutex_lock(&x->lock);
	ours = x->recv_paused || (x->send_paused && !x->head_done);
	pthread_mutex_unlock(&x->lock);
	/* libcurl has a deadline of its own for connections. */
	if (ours || !x->easy.begun || moved != x->moved) {
		x->moved = moved;
		x->moved_ms = now;
	}
	return now - x->moved_ms >= x->stall_ms;
}

static void scan(struct net_pump *p, int64_t now)
{
	if (now < p->scan_ms)
		return;
	p->scan_ms = INT64_MAX;
	for (struct net_exchange *x = p->active, *next; x; x = next) {
		next = x->next;
		if (stalled(x, now)) {
			snprintf(x->easy.said, sizeof(x->easy.said), "no byte for %d ms", x->stall_ms);
			finish(x, CURLE_OPERATION_TIMEDOUT);
			continue;
		}
		earlier(&p->scan_ms, now + scan_after(x));
		/* A slow writer's few bytes must not wait for half a ring of others. */
		resume(x);
	}
}

/* ---- the loop ---- */

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *known)
{
	struct net_pump *p = arg;
	struct epoll_event event = { .data.fd = socket };

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, socket, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(p->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event))
		return -1;
	curl_multi_assign(p->multi, socket, p);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct net_pump *p = arg;

	(void)multi;
	p->timer_ms = ms < 0 ? INT64_MAX : clock_ms() + ms;
	return 0;
}

/* False: the end. */
static bool read_inbox(struct net_pump *p)
{
	bool stopping;

	pthread_mutex_lock(&p->lock);
	p->woken = false;
	while (p->first) {
		struct net_exchange *x = p->first;
		bool over = x->over;
		bool abandoned = x->abandoned;

		p->first = x->inbox_next;
		if (!p->first)
			p->last = NULL;
		x->queued = false;
		pthread_mutex_unlock(&p->lock);
		if (over && abandoned)
			pump_exchange_free(x);
		else if (abandoned)
			give_up(x);
		else if (!over)
			proceed(x);
		pthread_mutex_lock(&p->lock);
	}
	stopping = p->stopping;
	pthread_mutex_unlock(&p->lock);
	return !stopping;
}

static int patience(const struct net_pump *p)
{
	int64_t when = p->timer_ms;
	int64_t now;

	earlier(&when, p->due_ms);
	earlier(&when, p->scan_ms);
	if (when == INT64_MAX)
		return -1;
	now = clock_ms();
	if (when <= now)
		return 0;
	return when - now < 60000 ? (int)(when - now) : 60000;
}

static void handle(struct net_pump *p, const struct epoll_event *event)
{
	int events = 0;
	uint64_t count;

	if (event->data.fd == p->event) {
		(void)!read(p->event, &count, sizeof(count));
		return;
	}
	if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		events |= CURL_CSELECT_IN;
	if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		events |= CURL_CSELECT_OUT;
	act(p, event->data.fd, events);
}

static void *pump_thread(void *arg)
{
	struct net_pump *p = arg;
	struct epoll_event events[EVENTS];

	thread_pace(THREAD_BULK);
	while (read_inbox(p)) {
		int count = epoll_wait(p->epoll, events, EVENTS, patience(p));
		int64_t now;

		for (int i = 0; i < count; i++)
			handle(p, &events[i]);
		now = clock_ms();
		if (now >= p->timer_ms) {
			p->timer_ms = INT64_MAX;
			act(p, CURL_SOCKET_TIMEOUT, 0);
		}
		start_due(p, now);
		scan(p, now);
	}
	return NULL;
}

/* ---- what others call ---- */

/* Under the pump's lock. True: it must be woken. */
static bool enqueue(struct net_exchange *x)
{
	struct net_pump *p = x->pump;
	bool wake = !p->woken;

	if (x->queued)
		return false;
	x->queued = true;
	x->inbox_next = NULL;
	if (p->last)
		p->last->inbox_next = x;
	else
		p->first = x;
	p->last = x;
	p->woken = true;
	return wake;
}

static void wake_up(struct net_pump *p)
{
	(void)!write(p->event, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void pump_post(struct net_exchange *x)
{
	struct net_pump *p = x->pump;
	bool wake;

	pthread_mutex_lock(&p->lock);
	wake = !x->over && enqueue(x);
	pthread_mutex_unlock(&p->lock);
	if (wake)
		wake_up(p);
}

void pump_leave(struct net_exchange *x)
{
	struct net_pump *p = x->pump;
	bool wake = false;
	bool ours;

	pthread_mutex_lock(&p->lock);
	ours = x->over && !x->queued;
	x->abandoned = true;
	if (!ours)
		wake = enqueue(x);
	/* Under the lock: the pump may be freed as soon as it knows that all have left. */
	if (wake)
		wake_up(p);
	pthread_mutex_unlock(&p->lock);
	if (ours)
		pump_exchange_free(x);
}

static void release(struct net_pump *p)
{
	if (p->multi)
		curl_multi_cleanup(p->multi);
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->event >= 0)
		close(p->event);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct net_pump *net_pump_new(void)
{
	struct net_pump *p = calloc(1, sizeof(*p));
	struct epoll_event event = { .events = EPOLLIN };

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	p->timer_ms = p->due_ms = p->scan_ms = INT64_MAX;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->event = event.data.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->multi = curl_multi_init();
	if (p->multi && p->epoll >= 0 && p->event >= 0
	    && !epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->event, &event)) {
		curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
		curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
		curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
		curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
		curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)KEPT);
		if (!thread_start(&p->thread, "net-pump", pump_thread, p))
			return p;
	}
	release(p);
	return NULL;
}

void net_pump_free(struct net_pump *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_mutex_unlock(&p->lock);
	wake_up(p);
	pthread_join(p->thread, NULL);
	assert(!p->active && !p->delayed && !p->first); /* every exchange was closed */
	release(p);
}

void net_pump_stats(struct net_pump *p, struct net_pump_stats *ret)
{
	*ret = (struct net_pump_stats){
		.exchanges = atomic_load(&p->exchanges),
		.connects = atomic_load(&p->connects),
		.failures = atomic_load(&p->failures),
		.bytes_in = atomic_load(&p->bytes_in),
		.bytes_out = atomic_load(&p->bytes_out),
		.active = atomic_load(&p->count),
	};
}
