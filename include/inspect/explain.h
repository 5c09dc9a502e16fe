/* SPDX-License-Identifier: MIT */
/*
 * explain.h - `tlsrpt-gen explain`: what a domain's TLSRPT record means, every rule applied, in words.
 *
 *   tlsrpt-gen explain [--format text|json] [--nearby] DOMAIN
 *   tlsrpt-gen explain [--format text|json] --record TXT [--record TXT ...]
 */
#ifndef INSPECT_EXPLAIN_H
#define INSPECT_EXPLAIN_H

#include "model/config.h"

/*
 * argv[0] is "explain".  Of config only `resolver` and `https_allow` are used; NULL: the system's resolver and
 * no other port than 443.
 * Exit code:
 *  0  a report can be sent to at least one destination
 *  1  to none
 * 75  the DNS gave no reliable answer
 * else as sysexits.h: 64 wrong arguments, 71 no memory, 78 a bad resolver
 */
int cmd_explain(const struct config *config, int argc, char **argv);

#endif
