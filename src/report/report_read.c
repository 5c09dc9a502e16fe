/* SPDX-License-Identifier: MIT */
/*
 * 1. Load the text as a tree, however it was written (report_json.c).
 * 2. Walk it with one table of members for each kind of object: a member that is missing, null, empty, unknown or
 *    of the wrong type is a finding; what can be understood is copied into the document.
 * 3. Check the values, then whether they fit together (report_rules.c).
 */
#include "report/report_read.h"

#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "report_json.h"
#include "report_rules.h"

enum value_kind {
    VALUE_TEXT,
    VALUE_COUNT,
    VALUE_OBJECT,
    VALUE_ARRAY,
    VALUE_TEXTS, /* array of strings */
};

struct member {
    const char *name;
    enum value_kind kind;
    bool is_needed;
};

/* One kind of object.  members ends with a NULL name. */
static const struct member REPORT_MEMBERS[] = {
    {"organization-name", VALUE_TEXT, true}, {"date-range", VALUE_OBJECT, true},
    {"contact-info", VALUE_TEXT, true},      {"report-id", VALUE_TEXT, true},
    {"policies", VALUE_ARRAY, true},         {NULL, VALUE_TEXT, false},
};
static const struct member RANGE_MEMBERS[] = {
    {"start-datetime", VALUE_TEXT, true},
    {"end-datetime", VALUE_TEXT, true},
    {NULL, VALUE_TEXT, false},
};
static const struct member ENTRY_MEMBERS[] = {
    {"policy", VALUE_OBJECT, true},
    {"summary", VALUE_OBJECT, true},
    {"failure-details", VALUE_ARRAY, false},
    {NULL, VALUE_TEXT, false},
};
static const struct member POLICY_MEMBERS[] = {
    {"policy-type", VALUE_TEXT, true},   {"policy-string", VALUE_TEXTS, false},
    {"policy-domain", VALUE_TEXT, true}, {"mx-host", VALUE_TEXTS, false},
    {NULL, VALUE_TEXT, false},
};
static const struct member SUMMARY_MEMBERS[] = {
    {"total-successful-session-count", VALUE_COUNT, true},
    {"total-failure-session-count", VALUE_COUNT, true},
    {NULL, VALUE_TEXT, false},
};
static const struct member DETAIL_MEMBERS[] = {
    {"result-type", VALUE_TEXT, true},
    {"sending-mta-ip", VALUE_TEXT, false},
    {"receiving-mx-hostname", VALUE_TEXT, false},
    {"receiving-mx-helo", VALUE_TEXT, false},
    {"receiving-ip", VALUE_TEXT, false},
    {"failed-session-count", VALUE_COUNT, true},
    {"additional-information", VALUE_TEXT, false},
    {"failure-reason-code", VALUE_TEXT, false},
    {NULL, VALUE_TEXT, false},
};

/* Names that RFC 8460's text suggests to a hasty reader, and what they ought to be. */
static const struct {
    const char *wrong, *right;
} TYPOS[] = {
    {"additional-info-uri", "additional-information"},
    {"additional-information-uri", "additional-information"},
    {"failure-error-code", "failure-reason-code"},
    {"failure-code", "failure-reason-code"},
    {"mx-host-pattern", "mx-host"},
    {"email-address", "contact-info"},
    {"org-name", "organization-name"},
    {"policy-mode", "policy-string"},
    {"total-failed-session-count", "total-failure-session-count"},
    {"sending-mta", "sending-mta-ip"},
    {"receiving-mx", "receiving-mx-hostname"},
};

/* ---- members ---- */

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    case JSON_TRUE:
    case JSON_FALSE:
        break;
    }
    return "true or false";
}

static bool is_of_kind(const json_t *value, enum value_kind kind)
{
    switch (kind) {
    case VALUE_TEXT:
        return json_is_string(value);
    case VALUE_COUNT:
        return json_is_integer(value);
    case VALUE_OBJECT:
        return json_is_object(value);
    case VALUE_ARRAY:
    case VALUE_TEXTS:
        break;
    }
    return json_is_array(value);
}

static const char *wanted_name(enum value_kind kind)
{
    static const char *const NAMES[] = {
        [VALUE_TEXT] = "text",      [VALUE_COUNT] = "a whole number",      [VALUE_OBJECT] = "an object",
        [VALUE_ARRAY] = "an array", [VALUE_TEXTS] = "an array of strings",
    };

    return NAMES[kind];
}

static bool is_empty(const json_t *value)
{
    if (json_is_string(value))
        return json_string_length(value) == 0;
    return json_is_array(value) && json_array_size(value) == 0;
}

static void check_member(struct report_reader *reader, const json_t *value, const struct member *member,
                         const struct json_path *json_path)
{
    if (value == NULL) {
        if (member->is_needed)
            FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is missing");
    } else if (json_is_null(value)) {
        if (member->is_needed)
            FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is null; it must have a value");
        else
            FIND(reader, FINDING_SHOULD, PRACTICE, json_path,
                 "is null; leave the member out when its value is not known");
    } else if (!is_of_kind(value, member->kind)) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is %s; it must be %s", kind_name(value),
             wanted_name(member->kind));
    } else if (is_empty(value) && member->is_needed) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is empty");
    } else if (is_empty(value) && member->kind != VALUE_TEXTS) { /* receivers may want [] for policy-string */
        FIND(reader, member->kind == VALUE_TEXT ? FINDING_SHOULD : FINDING_NOTE, PRACTICE, json_path,
             "is empty; leave the member out when there is nothing to say");
    }
}

static void check_unknown(struct report_reader *reader, const char *name, const struct json_path *parent)
{
    const struct json_path json_path = {.parent = parent, .member = name};

    for (size_t i = 0; i < ARRAY_COUNT(TYPOS); i++)
        if (strcmp(name, TYPOS[i].wrong) == 0) {
            FIND(reader, FINDING_MUST, SECTION_4_4, &json_path, "is no member of RFC 8460; \"%s\" is meant",
                 TYPOS[i].right);
            return;
        }
    FIND(reader, FINDING_NOTE, SECTION_4_4, &json_path, "is a member that RFC 8460 does not know");
}

static bool is_member(const struct member *members, const char *name)
{
    for (; members->name != NULL; members++)
        if (strcmp(members->name, name) == 0)
            return true;
    return false;
}

/* Step 2 for one object; false if it is none. */
static bool check_object(struct report_reader *reader, json_t *object, const struct member *members,
                         const struct json_path *parent)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return false;
    for (const struct member *member = members; member->name != NULL; member++) {
        const struct json_path json_path = {.parent = parent, .member = member->name};

        check_member(reader, json_object_get(object, member->name), member, &json_path);
    }
    json_object_foreach(object, name, value)
    {
        if (!is_member(members, name))
            check_unknown(reader, name, parent);
    }
    return true;
}

/* ---- values ---- */

static const char *copy_text(struct report_reader *reader, const json_t *value)
{
    const char *copy;

    if (!json_is_string(value))
        return "";
    copy = arena_copy_text(reader->arena, json_string_value(value), json_string_length(value));
    if (copy == NULL)
        reader->is_failed = true;
    return copy != NULL ? copy : "";
}

static const char *take_text(struct report_reader *reader, json_t *object, const char *name)
{
    return copy_text(reader, json_object_get(object, name));
}

typedef void check_text_fn(struct report_reader *reader, const struct json_path *json_path, const char *text);

/* A text that is checked if it is there. */
static const char *take_checked(struct report_reader *reader, json_t *object, const char *name,
                                const struct json_path *parent, check_text_fn *check)
{
    const struct json_path json_path = {.parent = parent, .member = name};
    const char *text = take_text(reader, object, name);

    if (*text != '\0')
        check(reader, &json_path, text);
    return text;
}

/* The digits that the text begins with; 0 if there are none or too many. */
static long long number_in_text(const char *text)
{
    struct cursor cursor;
    uint64_t number;

    cursor_init(&cursor, text, strlen(text));
    number = cursor_take_number(&cursor, INT64_MAX);
    return cursor.is_failed ? 0 : (long long)number;
}

/* A number of sessions; digits in a text and whole real numbers are understood (and are findings already). */
static uint64_t take_count(struct report_reader *reader, json_t *object, const char *name,
                           const struct json_path *parent)
{
    const struct json_path json_path = {.parent = parent, .member = name};
    json_t *value = json_object_get(object, name);
    double real = json_is_real(value) ? json_real_value(value) : 0;
    long long number = json_is_integer(value) ? json_integer_value(value) : 0;

    if (json_is_real(value) && real >= 0 && real < 1e15)
        number = (long long)real;
    if (json_is_string(value))
        number = number_in_text(json_string_value(value));
    if (number < 0) {
        FIND(reader, FINDING_MUST, SECTION_4_4, &json_path, "is %lld; a count cannot be negative", number);
        return 0;
    }
    if ((uint64_t)number > REPORT_COUNTS)
        FIND(reader, FINDING_NOTE, PRACTICE, &json_path,
             "is larger than the 2147483647 that some receivers can read");
    return (uint64_t)number;
}

/* An array of strings; one string alone counts as an array of it. */
static struct text_list take_texts(struct report_reader *reader, json_t *object, const char *name,
                                   const struct json_path *parent)
{
    json_t *value = json_object_get(object, name);
    size_t size = json_is_array(value) ? json_array_size(value) : json_is_string(value) ? 1 : 0;
    struct text_list list = {0};

    if (size > REPORT_READ_ITEMS_MAX)
        size = REPORT_READ_ITEMS_MAX;
    if (size > 0)
        list.items = arena_alloc_array(reader->arena, size, sizeof *list.items);
    if (size > 0 && list.items == NULL)
        reader->is_failed = true;
    for (size_t i = 0; i < size && list.items != NULL; i++) {
        json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        const struct json_path json_path = {.parent = parent, .member = name, .index = i, .is_item = true};

        if (!json_is_string(item))
            FIND(reader, FINDING_MUST, SECTION_4_4, &json_path, "is %s; it must be text", kind_name(item));
        else
            list.items[list.count++] = copy_text(reader, item);
    }
    return list;
}

/* ---- objects, from the inside out ---- */

static void check_host_name(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    rules_check_domain(reader, json_path, text, false);
}

static void check_result_type(struct report_reader *reader, const struct json_path *json_path,
                              const char *text)
{
    enum result_type type;

    if (!result_type_from_name(text, &type))
        FIND(reader, FINDING_MUST, SECTION_6_6, json_path,
             "\"%.80s\" is not one of the eleven registered result types", text);
}

static void read_detail(struct report_reader *reader, json_t *object, const struct json_path *json_path,
                        struct report_read_detail *detail)
{
    const struct json_path count = {.parent = json_path, .member = "failed-session-count"};

    *detail = (struct report_read_detail){.result_type = ""};
    if (!check_object(reader, object, DETAIL_MEMBERS, json_path))
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is %s; it must be an object", kind_name(object));
    detail->result_type = take_checked(reader, object, "result-type", json_path, check_result_type);
    detail->is_registered = result_type_from_name(detail->result_type, &detail->type);
    detail->sending_mta_ip = take_checked(reader, object, "sending-mta-ip", json_path, rules_check_ip);
    detail->receiving_mx_hostname =
        take_checked(reader, object, "receiving-mx-hostname", json_path, check_host_name);
    detail->receiving_mx_helo =
        take_checked(reader, object, "receiving-mx-helo", json_path, rules_check_helo);
    detail->receiving_ip = take_checked(reader, object, "receiving-ip", json_path, rules_check_ip);
    detail->additional_information =
        take_checked(reader, object, "additional-information", json_path, rules_check_uri);
    detail->failure_reason_code =
        take_checked(reader, object, "failure-reason-code", json_path, rules_check_reason);
    detail->sessions = take_count(reader, object, "failed-session-count", json_path);
    if (detail->sessions == 0 && json_is_integer(json_object_get(object, "failed-session-count")))
        FIND(reader, FINDING_SHOULD, SECTION_4_4, &count, "is 0; a detail tells of at least one session");
}

static void read_details(struct report_reader *reader, json_t *array, const struct json_path *parent,
                         struct report_read_policy *policy)
{
    size_t size = json_is_array(array) ? json_array_size(array) : 0;

    if (size > REPORT_READ_ITEMS_MAX)
        size = REPORT_READ_ITEMS_MAX;
    if (size == 0)
        return;
    policy->details = arena_alloc_array(reader->arena, size, sizeof *policy->details);
    if (policy->details == NULL) {
        reader->is_failed = true;
        return;
    }
    policy->detail_count = size;
    for (size_t i = 0; i < size; i++) {
        const struct json_path json_path = {
            .parent = parent, .member = "failure-details", .index = i, .is_item = true};

        read_detail(reader, json_array_get(array, i), &json_path, &policy->details[i]);
    }
}

static void check_policy_type(struct report_reader *reader, const struct json_path *json_path,
                              const char *text)
{
    enum policy_type type;

    if (!policy_type_from_name(text, &type))
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "\"%.80s\" is not one of tlsa, sts and no-policy-found", text);
}

static void check_lines(struct report_reader *reader, const struct json_path *parent,
                        const struct report_read_policy *policy)
{
    for (size_t i = 0; i < policy->strings.count; i++) {
        const struct json_path json_path = {
            .parent = parent, .member = "policy-string", .index = i, .is_item = true};

        if (policy->is_known_type)
            rules_check_policy_line(reader, &json_path, policy->known_type, policy->strings.items[i]);
    }
    for (size_t i = 0; i < policy->mx_hosts.count; i++) {
        const struct json_path json_path = {
            .parent = parent, .member = "mx-host", .index = i, .is_item = true};

        rules_check_domain(reader, &json_path, policy->mx_hosts.items[i], true);
    }
}

static void read_policy(struct report_reader *reader, json_t *object, const struct json_path *parent,
                        struct report_read_policy *policy)
{
    const struct json_path json_path = {.parent = parent, .member = "policy"};

    (void)check_object(reader, object, POLICY_MEMBERS, &json_path);
    policy->type = take_checked(reader, object, "policy-type", &json_path, check_policy_type);
    policy->is_known_type = policy_type_from_name(policy->type, &policy->known_type);
    policy->domain = take_checked(reader, object, "policy-domain", &json_path, check_host_name);
    policy->strings = take_texts(reader, object, "policy-string", &json_path);
    policy->mx_hosts = take_texts(reader, object, "mx-host", &json_path);
    check_lines(reader, &json_path, policy);
}

static void read_entry(struct report_reader *reader, json_t *object, const struct json_path *json_path,
                       struct report_read_policy *policy)
{
    const struct json_path summary_path = {.parent = json_path, .member = "summary"};
    json_t *summary = json_object_get(object, "summary");

    *policy = (struct report_read_policy){.type = ""};
    if (!check_object(reader, object, ENTRY_MEMBERS, json_path))
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is %s; it must be an object", kind_name(object));
    read_policy(reader, json_object_get(object, "policy"), json_path, policy);
    (void)check_object(reader, summary, SUMMARY_MEMBERS, &summary_path);
    policy->success = take_count(reader, summary, "total-successful-session-count", &summary_path);
    policy->failure = take_count(reader, summary, "total-failure-session-count", &summary_path);
    read_details(reader, json_object_get(object, "failure-details"), json_path, policy);
    rules_check_policy(reader, json_path, policy);
}

static void read_policies(struct report_reader *reader, json_t *array, struct report_document *document)
{
    size_t size = json_is_array(array) ? json_array_size(array) : 0;

    if (size > REPORT_READ_ITEMS_MAX)
        size = REPORT_READ_ITEMS_MAX;
    if (size == 0)
        return;
    document->policies = arena_alloc_array(reader->arena, size, sizeof *document->policies);
    if (document->policies == NULL) {
        reader->is_failed = true;
        return;
    }
    document->policy_count = size;
    for (size_t i = 0; i < size; i++) {
        const struct json_path json_path = {.member = "policies", .index = i, .is_item = true};

        read_entry(reader, json_array_get(array, i), &json_path, &document->policies[i]);
        document->success += document->policies[i].success;
        document->failure += document->policies[i].failure;
    }
}

static void read_range(struct report_reader *reader, json_t *object, struct report_document *document)
{
    const struct json_path json_path = {.member = "date-range"};
    const struct json_path start = {.parent = &json_path, .member = "start-datetime"};
    const struct json_path end = {.parent = &json_path, .member = "end-datetime"};
    bool has_begin, has_end;

    (void)check_object(reader, object, RANGE_MEMBERS, &json_path);
    document->start = take_text(reader, object, "start-datetime");
    document->end = take_text(reader, object, "end-datetime");
    has_begin =
        *document->start != '\0' && rules_check_time(reader, &start, document->start, &document->begin_s);
    has_end = *document->end != '\0' && rules_check_time(reader, &end, document->end, &document->end_s);
    document->has_period = has_begin && has_end;
    if (document->has_period)
        rules_check_period(reader, &json_path, document->begin_s, document->end_s);
}

/* True if it has any of the members that make a report. */
static bool looks_like_report(json_t *tree)
{
    for (const struct member *member = REPORT_MEMBERS; member->name != NULL; member++)
        if (json_object_get(tree, member->name) != NULL)
            return true;
    return false;
}

enum status report_read(const char *json, size_t len, struct arena *arena, struct finding_list *findings,
                        struct report_document *document_out, struct err *err)
{
    struct report_reader reader = {.arena = arena, .findings = findings};
    struct report_document document = {0};
    struct arena tree_arena;
    json_t *tree = NULL;
    enum status status;

    arena_init(&tree_arena, REPORT_JSON_ARENA_BYTES);
    status = report_json_load(&tree_arena, json, len, findings, &tree, err);
    if (status != ST_OK)
        goto out;
    if (!looks_like_report(tree)) {
        status = err_set(err, ST_SYNTAX, "JSON, but not a TLSRPT report: it is %s without any of its members",
                         kind_name(tree));
        goto out;
    }
    (void)check_object(&reader, tree, REPORT_MEMBERS, NULL);
    document.organization_name = take_text(&reader, tree, "organization-name");
    read_range(&reader, json_object_get(tree, "date-range"), &document);
    document.contact_info = take_checked(&reader, tree, "contact-info", NULL, rules_check_contact);
    document.report_id = take_text(&reader, tree, "report-id");
    read_policies(&reader, json_object_get(tree, "policies"), &document);
    if (reader.is_failed)
        status = err_set(err, ST_NOMEM, "out of memory: the report is too large to be shown");
    else
        *document_out = document;
out:
    arena_done(&tree_arena);
    return status;
}
