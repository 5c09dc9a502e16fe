/* SPDX-License-Identifier: MIT */
/*
 * lookup.c - ask the DNS through the resolve stage and print each answer as one JSON line, for the flow
 * tests.
 *
 * lookup [-s SERVER]... [-t TIMEOUT_MS] [-n TRIES] [-d DEADLINE_MS] [-p IN_FLIGHT] KIND
 * KIND is tlsrpt, txt, addresses or mx; the names come from stdin, one a line.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/names.h"
#include "resolve/resolve.h"

static const char *const KINDS[] = {"tlsrpt", "txt", "addresses", "mx"};
static const char *const RESULTS[] = {"found", "none", "temporary"};

static json_t *txts_of(const struct resolve_answer *answer)
{
    json_t *list = json_array();

    for (size_t i = 0; i < answer->txt_count; i++)
        json_array_append_new(list, json_stringn_nocheck(answer->txts[i].at, answer->txts[i].len));
    return list;
}

static json_t *addresses_of(const struct resolve_answer *answer)
{
    json_t *list = json_array();

    for (size_t i = 0; i < answer->address_count; i++) {
        char text[ADDRESS_TEXT_SIZE];

        address_format(&answer->addresses[i], text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *mx_of(const struct resolve_answer *answer)
{
    json_t *list = json_array();

    for (size_t i = 0; i < answer->mx_count; i++)
        json_array_append_new(
            list, json_pack("[is]", (int)answer->mx_hosts[i].preference, answer->mx_hosts[i].host));
    return list;
}

static void print_answer(void *context, const struct resolve_answer *answer)
{
    json_t *line =
        json_pack("{ssssss soso so sb sb}", "name", answer->name, "outcome", RESULTS[answer->result],
                  "reason", answer->reason, "txts", txts_of(answer), "addresses", addresses_of(answer), "mx",
                  mx_of(answer), "implicit_mx", answer->is_implicit_mx, "null_mx", answer->is_null_mx);

    (void)context;
    json_dumpf(line, stdout, JSON_ENSURE_ASCII | JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static int fail(const struct err *err)
{
    fprintf(stderr, "lookup: %s: %s\n", status_name(err->code), err->text);
    return 1;
}

static enum resolve_kind kind_named(const char *name)
{
    for (size_t kind = 0; kind < ARRAY_COUNT(KINDS); kind++)
        if (strcmp(KINDS[kind], name) == 0)
            return (enum resolve_kind)kind;
    exit(64);
}

static int number_of(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || number < 0 || number > 1000000)
        exit(64);
    return (int)number;
}

static int look_up(struct resolver *resolver, enum resolve_kind kind)
{
    char line[1024];
    struct err err;

    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (resolve_add(resolver, kind, line, print_answer, NULL, &err) != ST_OK)
            return fail(&err);
    }
    resolve_run(resolver, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    struct resolve_limits limits = {RESOLVE_IN_FLIGHT, RESOLVE_TIMEOUT_MS, RESOLVE_TRIES,
                                    RESOLVE_DEADLINE_MS};
    const char *servers[RESOLVE_SERVERS_MAX + 2];
    struct resolver *resolver = NULL;
    size_t server_count = 0;
    struct err err;
    int option, code;

    while ((option = getopt(argc, argv, "s:t:n:d:p:")) != -1) {
        if (option == 's' && server_count < ARRAY_COUNT(servers))
            servers[server_count++] = optarg;
        else if (option == 't')
            limits.timeout_ms = number_of(optarg);
        else if (option == 'n')
            limits.tries = number_of(optarg);
        else if (option == 'd')
            limits.deadline_ms = number_of(optarg);
        else if (option == 'p')
            limits.in_flight = (unsigned)number_of(optarg);
        else
            return 64;
    }
    if (optind + 1 != argc)
        return 64;
    if (resolve_open(servers, server_count, &limits, &resolver, &err) != ST_OK)
        return fail(&err);
    code = look_up(resolver, kind_named(argv[optind]));
    resolve_close(&resolver);
    return code;
}
