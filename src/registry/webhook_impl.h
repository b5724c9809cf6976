/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#ifndef REGISTRY_WEBHOOK_IMPL_H
#define REGISTRY_WEBHOOK_IMPL_H

#include "registry/fernet.h"

/* What secrets are encrypted with. */
const struct fernet *registry_webhook_key(void);

#endif
