/* SPDX-License-Identifier: MIT */
/*
 * report_meta.h - what a report says about itself, and the names made from that: report-id, Message-ID, file
 * name.  All are functions of (domain, UTC day, submitter, instance), so a retry gives the same ones (R66).
 * Source: RFC 8460 sections 4.4, 5.1 and 5.3; rfc8460.md C.1 and E.4.
 */
#ifndef MODEL_REPORT_META_H
#define MODEL_REPORT_META_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* All texts are borrowed and never NULL. */
struct report_meta {
    const char *organization_name; /* UTF-8, not empty */
    const char *contact_info;      /* addr-spec (R17); its domain is the submitter (R42) */
    const char *submitter;         /* canonical domain name */
    const char *domain;            /* whose TLSRPT record asked for the report: canonical domain name */
    const char *report_id;         /* report_id_format */
    int32_t utc_day;
};

#define REPORT_INSTANCE_MAX 16

/* NULL if it is a valid instance (small letters and digits, or ""), else how to fix it. */
const char *report_instance_check(const char *instance);

/*
 * BEGIN.SEQUENCE[-INSTANCE].DOMAIN@SUBMITTER, two dot-atoms (R18, R43).  sequence counts from 1; more only
 * for genuinely different reports of one day.  instance distinguishes hosts that report under one submitter;
 * "": there is one.  *id_out lives as long as arena.
 * ST_SYNTAX  domain or submitter is not a dot-atom
 * ST_NOMEM
 */
MUST_CHECK enum status report_id_format(int32_t utc_day, unsigned sequence, const char *instance,
                                        const char *domain, const char *submitter, struct arena *arena,
                                        const char **id_out, struct err *err);

/*
 * Message-ID, without the angle brackets, of the mail that brings report_id to the report's destination
 * number rua_number (from 1): one message for each address (R55), each with its own id.
 * ST_SYNTAX  report_id has no '@'
 * ST_NOMEM
 */
MUST_CHECK enum status report_message_id_format(const char *report_id, unsigned rua_number,
                                                struct arena *arena, const char **id_out, struct err *err);

/* SUBMITTER!DOMAIN!BEGIN!END[!INSTANCE].json.gz (R36, R37).  Statuses as report_id_format. */
MUST_CHECK enum status report_file_name_format(int32_t utc_day, const char *instance, const char *domain,
                                               const char *submitter, struct arena *arena,
                                               const char **name_out, struct err *err);

#endif
