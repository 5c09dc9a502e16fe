/* SPDX-License-Identifier: MIT */
/*
 * report_rules.h - RFC 8460's rules for single values of a report that somebody else wrote.
 *
 * Each check adds to the reader's findings and changes nothing.  Values are not empty.
 */
#ifndef REPORT_REPORT_RULES_H
#define REPORT_REPORT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/finding.h"
#include "report/report_read.h"

#define SECTION_4_1   "RFC 8460 section 4.1"
#define SECTION_4_3   "RFC 8460 section 4.3"
#define SECTION_4_4   "RFC 8460 section 4.4"
#define SECTION_6_6   "RFC 8460 section 6.6"
#define PRACTICE      "RFC 8460 section 4.4 and what receivers take"
#define REPORT_COUNTS 2147483647ULL /* some receivers read counts into 32 signed bits (R34) */

/* The path of a value in the report, as a list from the inside out. */
struct json_path {
    const struct json_path *parent; /* NULL: the report itself */
    const char *member;
    size_t index; /* of an item of that member */
    bool is_item;
};

struct report_reader {
    struct arena *arena;
    struct finding_list *findings;
    bool is_failed; /* memory ran out */
};

/* "policies[0].policy.mx-host[2]" */
void json_path_format(const struct json_path *json_path, char text_out[FINDING_WHERE_SIZE]);

/* Add a finding about the value at a path. */
#define FIND(reader, level, rule, json_path, ...)                                                            \
    do {                                                                                                     \
        char find_where[FINDING_WHERE_SIZE];                                                                 \
        json_path_format((json_path), find_where);                                                           \
        finding_add((reader)->findings, (level), (rule), find_where, __VA_ARGS__);                           \
    } while (0)

/* RFC 3339 section 5.6; *utc_s_out is set if the time can be understood. */
bool rules_check_time(struct report_reader *reader, const struct json_path *json_path, const char *text,
                      int64_t *utc_s_out);

/* The two ends of the period against each other and the UTC day (R16). */
void rules_check_period(struct report_reader *reader, const struct json_path *json_path, int64_t begin_s,
                        int64_t end_s);

/* An addr-spec (R17). */
void rules_check_contact(struct report_reader *reader, const struct json_path *json_path, const char *text);

/* A-labels in lower case without a final dot (R21); with is_pattern it may begin with "*.". */
void rules_check_domain(struct report_reader *reader, const struct json_path *json_path, const char *text,
                        bool is_pattern);

/* RFC 5952 text of an address (R25). */
void rules_check_ip(struct report_reader *reader, const struct json_path *json_path, const char *text);

void rules_check_helo(struct report_reader *reader, const struct json_path *json_path, const char *text);
void rules_check_reason(struct report_reader *reader, const struct json_path *json_path, const char *text);
void rules_check_uri(struct report_reader *reader, const struct json_path *json_path, const char *text);

/* One item of policy-string (R20). */
void rules_check_policy_line(struct report_reader *reader, const struct json_path *json_path,
                             enum policy_type type, const char *text);

/* Whether the parts of one policy entry fit together (R22, R24 and the like). */
void rules_check_policy(struct report_reader *reader, const struct json_path *json_path,
                        const struct report_read_policy *policy);

#endif
