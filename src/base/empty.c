/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/empty.h"

const struct record empty_record = { sizeof(struct empty), (const struct field[]){ END } };
