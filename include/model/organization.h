/* SPDX-License-Identifier: MIT */
/*
 * organization.h - who owns a domain, as far as the Public Suffix List knows: the unit by which strangers share our
 * time, disk and goodwill.
 *
 * Source: https://publicsuffix.org, by libpsl: the newer one of the list that libpsl was built with and the system's
 *         (Debian: package publicsuffix).
 */
#ifndef MODEL_ORGANIZATION_H
#define MODEL_ORGANIZATION_H

/*
 * The organizational domain of a canonical name: its public suffix and one more label; the name itself if it is a
 * public suffix or has one label.  Points into domain.  Cannot fail: without a list every name is its own.
 */
const char *organization_of(const char *domain);

#endif
