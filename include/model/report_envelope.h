/* SPDX-License-Identifier: MIT */
/*
 * report_envelope.h - what a report came in: a file name, and perhaps a mail around it, as far as RFC 8460
 * sections 5.1 to 5.3 have something to say about it.
 *
 * Texts are never NULL: "" is absent.  They are borrowed, and hold whatever the sender wrote.
 */
#ifndef MODEL_REPORT_ENVELOPE_H
#define MODEL_REPORT_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

struct report_envelope {
    const char *file_name; /* without folders */
    bool is_gzip;          /* the report's bytes were gzip */

    bool is_mail; /* what follows is set */
    const char *subject;
    const char *from;
    const char *date;
    const char *message_id;
    const char *tls_report_domain;
    const char *tls_report_submitter;
    const char *tls_required;
    const char *dkim_signature; /* of the first DKIM-Signature field */
    const char *media_type;     /* of the whole message, lower case */
    const char *report_type;
    const char *part_type; /* of the part that holds the report, lower case */
    bool is_name_extended; /* its file name is written as RFC 2231 wants it */
    size_t part_count;     /* parts directly in the message */
    size_t report_count;   /* parts that look like a report */
};

#endif
