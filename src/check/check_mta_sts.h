/* SPDX-License-Identifier: MIT */
/*
 * check_mta_sts.h - will Postfix's sessions under MTA-STS be counted as such?
 */
#ifndef CHECK_CHECK_MTA_STS_H
#define CHECK_CHECK_MTA_STS_H

#include "checkup.h"

/*
 * maps, security_level: smtp_tls_policy_maps and smtp_tls_security_level; "" if Postfix is not on this host.
 * knows_attributes: Postfix is 3.10 or newer, or on another host.
 */
void check_mta_sts(struct checkup *checkup, const char *maps, const char *security_level,
                   bool knows_attributes);

#endif
