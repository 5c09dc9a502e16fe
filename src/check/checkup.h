/* SPDX-License-Identifier: MIT */
/*
 * checkup.h - what the parts of `check` share.  Each part examines one thing and prints each fact once.
 *
 * A fix can be copied: "run COMMAND", "set KEY = VALUE" (in the settings file), "publish NAME. TYPE DATA" (in
 * DNS), or words for what no command can do.
 */
#ifndef CHECK_CHECKUP_H
#define CHECK_CHECKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/terminal.h"
#include "mail/dkim.h"
#include "model/config.h"
#include "resolve/resolve.h"

/* The account that the package makes; the services run as it. */
#define CHECKUP_SERVICE_USER "tlsrpt-gen"

enum verdict {
    VERDICT_OK,
    VERDICT_WARN,
    VERDICT_FAIL,
    VERDICT_COUNT,
};

struct checkup {
    const struct config *config;
    struct terminal terminal;
    struct arena arena;
    struct resolver *resolver; /* NULL: it could not be opened */
    bool has_resolver;         /* and it answers */
    struct dkim_keys *keys;
    size_t sockets_asked, sockets_heard; /* sockets of the settings; those with a listener */
    bool has_setting_fix;                /* a fix was a line of the settings file */
    size_t counts[VERDICT_COUNT];
};

/* Print a finding.  fix is NULL for VERDICT_OK; topic is a word. */
void checkup_say(struct checkup *checkup, enum verdict verdict, const char *topic, const char *fix,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* printf into the checkup's arena, for fixes; "" when memory is out. */
const char *checkup_format(struct checkup *checkup, const char *format, ...) PRINTF_LIKE(2, 3);

/* The part of a mail address behind its @. */
const char *checkup_domain_of(const char *mailbox);

/* ---- the parts ---- */

void check_settings(struct checkup *checkup);
void check_folders(struct checkup *checkup);
void check_sockets(struct checkup *checkup);
void check_collector(struct checkup *checkup);
void check_ledger(struct checkup *checkup);
void check_postfix(struct checkup *checkup);
void check_resolver(struct checkup *checkup);
void check_mailboxes(struct checkup *checkup);
void check_relay(struct checkup *checkup);
void check_dkim(struct checkup *checkup);
void check_fleet(struct checkup *checkup);
void check_schedule(struct checkup *checkup);

#endif
