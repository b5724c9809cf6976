/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Like net_address_public(), for what connect() is given. */
bool address_public(const struct sockaddr *address);

#endif
