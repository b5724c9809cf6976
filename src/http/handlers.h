/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* handlers — what routes.def names: the headers of every family of handlers. */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include "artifacts/artifact.h"
#include "auth/role.h"
#include "auth/user.h"
#include "base/empty.h"
#include "probes.h"
#include "signup.h"
#include "registry/alias.h"
#include "registry/history.h"
#include "registry/model.h"
#include "registry/search.h"
#include "registry/version.h"
#include "registry/webhook.h"
#include "tracking/dataset.h"
#include "tracking/experiment.h"
#include "tracking/history.h"
#include "tracking/logged_model.h"
#include "tracking/run.h"
#include "tracking/run_search.h"
#include "workspace.h"

#endif
