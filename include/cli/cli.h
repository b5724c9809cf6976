/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* cli — the command line: picks the command, runs it, turns its error into one line and an exit
   code. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/ctx.h"
#include "cli/option.h"

/* Exit codes: 0 done, 1 it failed (why is on standard error), 2 wrong use. */
int cli_main(int argc, char *const *argv);

/* The commands. 0, or -1 with c->error. */
int cli_serve(struct ctx *c, const struct cli_values *v) MUST_CHECK;
int cli_gc(struct ctx *c, const struct cli_values *v) MUST_CHECK;
int cli_upgrade(struct ctx *c, const struct cli_values *v) MUST_CHECK;
int cli_import(struct ctx *c, const struct cli_values *v) MUST_CHECK;
int cli_promote(struct ctx *c, const struct cli_values *v) MUST_CHECK;

extern const struct cli_command cli_serve_command;
extern const struct cli_command cli_gc_command;
extern const struct cli_command cli_upgrade_command;
extern const struct cli_command cli_import_command;
extern const struct cli_command cli_promote_command;

#endif
