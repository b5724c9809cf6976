/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * webhook — sends what the outbox holds: each webhook's deliveries in their order, one at a time, several webhooks at
 * one time; what fails is tried again with growing pauses and then given up. At least once: what was sent and not yet
 * recorded when the daemon died is sent again, with the same delivery id.
 */
#ifndef RECONCILE_WEBHOOK_H
#define RECONCILE_WEBHOOK_H

#include "base/ctx.h"

struct db_pool;
struct webhook_loop;

enum { WEBHOOK_CONNECTIONS = 2 };       /* that its pool needs: the leader's, and one that all senders share */

/* registry_webhook_configure() comes first. NULL: no memory or threads. */
struct webhook_loop *reconcile_webhook_start(struct db_pool *pool, unsigned senders);
/* Gives up what is being sent, within about a second. */
void reconcile_webhook_stop(struct webhook_loop *l);

#endif
