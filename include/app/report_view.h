/* SPDX-License-Identifier: MIT */
/*
 * report_view.h - one report for a person to read: who, when, each policy with its bar, failures in words
 * with what the domain's owner should look at, and the departures from RFC 8460.
 */
#ifndef APP_REPORT_VIEW_H
#define APP_REPORT_VIEW_H

#include <stdio.h>

#include "base/terminal.h"
#include "model/finding.h"
#include "model/report_envelope.h"
#include "report/report_read.h"

/* origin says where it came from ("stdin, a mail with a gzip file of 812 bytes"). */
void show_report_print(const struct terminal *terminal, const struct report_document *document,
                       const struct report_envelope *envelope, const struct finding_list *findings,
                       const char *origin, FILE *out);

/* Only the policies' counts and failures. */
void show_report_print_policies(const struct terminal *terminal, const struct report_document *document,
                                FILE *out);

#endif
