/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* access — see base/access.h: the layer below, search, honours it too. */
#ifndef STORE_ACCESS_H
#define STORE_ACCESS_H

#include "base/access.h"

#endif
