/* SPDX-License-Identifier: MIT */
/*
 * domain.h - domain names in the one form that everything here compares and stores: A-labels, lower case,
 * no final dot.  Source: RFC 5890, RFC 8460 section 4.4 (R21); letters, digits, '-' and '_' only.
 */
#ifndef MODEL_DOMAIN_H
#define MODEL_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

#define DOMAIN_NAME_MAX  253
#define DOMAIN_LABEL_MAX 63

/*
 * Canonical form of text[0..len): case folded, one final dot removed, U-labels turned into A-labels.
 * *domain_out lives as long as arena.
 * ST_SYNTAX  empty, a bad byte or label, an address literal, or a U-label that IDNA2008 refuses
 * ST_RANGE   longer than DOMAIN_NAME_MAX, or a label longer than DOMAIN_LABEL_MAX
 * ST_NOMEM
 */
MUST_CHECK enum status domain_normalise(const char *text, size_t len, struct arena *arena,
                                        const char **domain_out, struct err *err);

/* As domain_normalise, but it may begin with "*." (an MTA-STS mx pattern). */
MUST_CHECK enum status domain_pattern_normalise(const char *text, size_t len, struct arena *arena,
                                                const char **pattern_out, struct err *err);

/* True if domain (canonical) is the pattern, or the pattern is "*.rest" and domain ends in ".rest". */
bool domain_matches(const char *domain, const char *pattern);

#endif
