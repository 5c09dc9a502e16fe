/* SPDX-License-Identifier: MIT */
/*
 * dkim_key.h - one dkim_key setting, "SELECTOR:ALGORITHM:/FILE".
 * Source: RFC 6376 section 3.1 (selectors), RFC 8301 and RFC 8463 (algorithms).
 */
#ifndef MODEL_DKIM_KEY_H
#define MODEL_DKIM_KEY_H

#include "base/arena.h"
#include "base/cursor.h"
#include "base/err.h"

#define DKIM_KEYS_MAX 2 /* signatures on one message */

enum dkim_algorithm {
    DKIM_RSA_SHA256,
    DKIM_ED25519_SHA256,
    DKIM_ALGORITHM_COUNT,
};

/* Texts live in the arena that the setting was parsed into. */
struct dkim_key_setting {
    const char *selector; /* canonical name; may have dots */
    enum dkim_algorithm algorithm;
    const char *file; /* absolute path */
};

/* "rsa-sha256", "ed25519-sha256" */
const char *dkim_algorithm_name(enum dkim_algorithm algorithm);

/*
 * ST_SYNTAX  not SELECTOR:ALGORITHM:/FILE; err names the fix
 * ST_NOMEM
 */
MUST_CHECK enum status dkim_key_parse(const char *text, struct arena *arena,
                                      struct dkim_key_setting *setting_out, struct err *err);

/*
 * The value of one tag of a "tag=value; tag=value" list (RFC 6376 section 3.2), a DNS key record or a
 * signature, without blanks around; at is NULL if the tag is not there.  Borrows list.
 */
struct span dkim_tag_find(struct span list, const char *tag);

#endif
