/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* empty — the request or reply that carries nothing: {}. */
#ifndef BASE_EMPTY_H
#define BASE_EMPTY_H

#include "base/record.h"

struct empty {
	char unused;
};
extern const struct record empty_record;

#endif
