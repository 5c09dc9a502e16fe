/* SPDX-License-Identifier: MIT */
#include "model/policy.h"

#include <string.h>

static const struct {
    int code;
    const char *name;
} TYPES[POLICY_TYPE_COUNT] = {
    [POLICY_TLSA] = {1, "tlsa"},
    [POLICY_STS] = {2, "sts"},
    [POLICY_NO_POLICY_FOUND] = {9, "no-policy-found"},
};

const char *policy_type_name(enum policy_type type)
{
    return TYPES[type].name;
}

int policy_type_code(enum policy_type type)
{
    return TYPES[type].code;
}

bool policy_type_from_name(const char *name, enum policy_type *type_out)
{
    for (int type = 0; type < POLICY_TYPE_COUNT; type++)
        if (strcmp(TYPES[type].name, name) == 0) {
            *type_out = (enum policy_type)type;
            return true;
        }
    return false;
}

bool policy_type_from_code(long long code, enum policy_type *type_out)
{
    for (int type = 0; type < POLICY_TYPE_COUNT; type++)
        if (TYPES[type].code == code) {
            *type_out = (enum policy_type)type;
            return true;
        }
    return false;
}

static int compare_lists(const struct text_list *a, const struct text_list *b)
{
    size_t shared = a->count < b->count ? a->count : b->count;

    for (size_t i = 0; i < shared; i++) {
        int order = strcmp(a->items[i], b->items[i]);

        if (order != 0)
            return order;
    }
    return (a->count > b->count) - (a->count < b->count);
}

int policy_compare(const struct policy *a, const struct policy *b)
{
    int order = (a->type > b->type) - (a->type < b->type);

    if (order == 0)
        order = strcmp(a->domain, b->domain);
    if (order == 0)
        order = compare_lists(&a->strings, &b->strings);
    if (order == 0)
        order = compare_lists(&a->mx_hosts, &b->mx_hosts);
    return order;
}

static int compare_optional(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return (a != NULL) - (b != NULL);
    return strcmp(a, b);
}

int failure_detail_compare(const struct failure_detail *a, const struct failure_detail *b)
{
    int order = strcmp(result_type_name(a->result_type), result_type_name(b->result_type));

    if (order == 0)
        order = compare_optional(a->sending_mta_ip, b->sending_mta_ip);
    if (order == 0)
        order = compare_optional(a->receiving_mx_hostname, b->receiving_mx_hostname);
    if (order == 0)
        order = compare_optional(a->receiving_mx_helo, b->receiving_mx_helo);
    if (order == 0)
        order = compare_optional(a->receiving_ip, b->receiving_ip);
    if (order == 0)
        order = compare_optional(a->additional_information, b->additional_information);
    if (order == 0)
        order = compare_optional(a->failure_reason_code, b->failure_reason_code);
    return order;
}
