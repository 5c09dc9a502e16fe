/* SPDX-License-Identifier: MIT */
/*
 * A record is read from left to right; an include is another record that is read meanwhile, on a small stack:
 * if it passes, the include matches.  A redirect takes the record's place when nothing matched.
 */
#include "spf.h"

#include <string.h>
#include <strings.h>

#include "base/cursor.h"

#define VERSION     "v=spf1"
#define RECORDS_MAX (SPF_LOOKUPS_MAX + 1)

/* One record that is being read. */
struct reading {
    const char *domain;
    struct cursor cursor;
    const char *redirect;       /* NULL: none seen */
    enum spf_result if_matched; /* of the include in the record around it */
};

struct evaluation {
    struct resolver *resolver;
    struct arena *arena;
    const struct address *address;
    struct reading stack[RECORDS_MAX];
    size_t depth;
    unsigned lookups;
};

enum match {
    MATCH_YES,
    MATCH_NO,
    MATCH_PUSHED, /* an include: its record comes first */
    MATCH_BROKEN,
    MATCH_UNKNOWN,
    MATCH_TEMPORARY,
};

/* ---- look-ups ---- */

static enum match ask(struct evaluation *evaluation, enum resolve_kind kind, const char *name,
                      struct resolve_answer *answer_out)
{
    enum status status = resolve_one(evaluation->resolver, kind, name, evaluation->arena, answer_out, NULL);

    if (status != ST_OK)
        return status == ST_NOMEM ? MATCH_TEMPORARY : MATCH_BROKEN;
    if (answer_out->result == RESOLVE_TEMPORARY)
        return MATCH_TEMPORARY;
    return answer_out->result == RESOLVE_FOUND ? MATCH_YES : MATCH_NO;
}

/* The one TXT record that begins with "v=spf1"; MATCH_NO if there is none. */
static enum match find_record(struct evaluation *evaluation, const char *domain, struct span *record_out)
{
    struct resolve_answer answer;
    enum match found = ask(evaluation, RESOLVE_TXT, domain, &answer);
    size_t count = 0;

    for (size_t i = 0; found == MATCH_YES && i < answer.txt_count; i++) {
        struct span text = answer.txts[i];

        if (text.len < strlen(VERSION) || strncasecmp(text.at, VERSION, strlen(VERSION)) != 0 ||
            (text.len > strlen(VERSION) && text.at[strlen(VERSION)] != ' '))
            continue;
        *record_out = text;
        count++;
    }
    if (found != MATCH_YES)
        return found;
    return count == 1 ? MATCH_YES : count == 0 ? MATCH_NO : MATCH_BROKEN;
}

static enum match push(struct evaluation *evaluation, const char *domain, enum spf_result if_matched)
{
    struct reading *reading = &evaluation->stack[evaluation->depth];
    struct span record;
    enum match found;

    if (evaluation->depth == RECORDS_MAX)
        return MATCH_BROKEN;
    found = find_record(evaluation, domain, &record);
    if (found != MATCH_YES)
        return found;
    *reading = (struct reading){.domain = domain, .if_matched = if_matched};
    cursor_init(&reading->cursor, record.at, record.len);
    (void)cursor_skip_word(&reading->cursor, VERSION);
    (void)cursor_take_until(&reading->cursor, " ");
    evaluation->depth++;
    return MATCH_PUSHED;
}

/* ---- mechanisms ---- */

static bool is_same_family(const struct address *a, const struct address *b)
{
    return a->len == b->len;
}

/* address/bits; a missing prefix means all bits. */
static enum match match_network(const struct evaluation *evaluation, struct span text)
{
    const char *slash = memchr(text.at, '/', text.len);
    size_t len = slash != NULL ? (size_t)(slash - text.at) : text.len;
    struct network network;
    struct cursor cursor;

    if (!address_parse(text.at, len, &network.address))
        return MATCH_BROKEN;
    network.prefix_bits = (uint8_t)(network.address.len * 8);
    if (slash != NULL) {
        cursor_init(&cursor, slash + 1, text.len - len - 1);
        network.prefix_bits = (uint8_t)cursor_take_number(&cursor, network.prefix_bits);
        if (cursor.is_failed || !cursor_at_end(&cursor))
            return MATCH_BROKEN;
    }
    return is_same_family(&network.address, evaluation->address) &&
                   network_contains(&network, evaluation->address)
               ? MATCH_YES
               : MATCH_NO;
}

/* Does the name have our address?  Prefix lengths behind it ("/24//64") are applied to each address. */
static enum match match_addresses(struct evaluation *evaluation, const char *name, uint8_t bits4,
                                  uint8_t bits6)
{
    struct resolve_answer answer;
    enum match found = ask(evaluation, RESOLVE_ADDRESSES, name, &answer);

    for (size_t i = 0; found == MATCH_YES && i < answer.address_count; i++) {
        struct network network = {.address = answer.addresses[i],
                                  .prefix_bits = answer.addresses[i].len == 4 ? bits4 : bits6};

        if (is_same_family(&network.address, evaluation->address) &&
            network_contains(&network, evaluation->address))
            return MATCH_YES;
    }
    return found == MATCH_YES ? MATCH_NO : found;
}

static enum match match_mx(struct evaluation *evaluation, const char *name, uint8_t bits4, uint8_t bits6)
{
    struct resolve_answer answer;
    enum match found = ask(evaluation, RESOLVE_MX, name, &answer);

    for (size_t i = 0; found == MATCH_YES && i < answer.mx_count && i < SPF_LOOKUPS_MAX; i++) {
        enum match one = match_addresses(evaluation, answer.mx_hosts[i].host, bits4, bits6);

        if (one != MATCH_NO)
            return one;
    }
    return found == MATCH_YES ? MATCH_NO : found;
}

/* What stands behind the mechanism's name: ":domain" and "/bits4//bits6", each of which may be absent. */
struct argument {
    const char *domain;
    uint8_t bits4, bits6;
};

static bool take_bits(struct cursor *cursor, const char *mark, uint64_t max, uint8_t *bits_out)
{
    if (cursor_skip_word(cursor, mark))
        *bits_out = (uint8_t)cursor_take_number(cursor, max);
    return !cursor->is_failed;
}

static bool parse_argument(struct evaluation *evaluation, struct span text, struct argument *argument_out)
{
    struct cursor cursor;
    struct span domain;

    *argument_out = (struct argument){evaluation->stack[evaluation->depth - 1].domain, 32, 128};
    cursor_init(&cursor, text.at, text.len);
    if (cursor_skip_word(&cursor, ":")) {
        domain = cursor_take_until(&cursor, "/");
        argument_out->domain = arena_copy_text(evaluation->arena, domain.at, domain.len);
    }
    if (!cursor_at_end(&cursor) && strncmp(cursor.at, "//", 2) != 0 &&
        !take_bits(&cursor, "/", 32, &argument_out->bits4))
        return false;
    return take_bits(&cursor, "//", 128, &argument_out->bits6) && cursor_at_end(&cursor) &&
           argument_out->domain != NULL && *argument_out->domain != '\0';
}

static bool has_name(struct span term, const char *name, struct span *rest_out)
{
    size_t len = strlen(name);

    if (term.len < len || strncasecmp(term.at, name, len) != 0 ||
        (term.len > len && term.at[len] != ':' && term.at[len] != '/' && term.at[len] != '='))
        return false;
    *rest_out = (struct span){term.at + len, term.len - len};
    return true;
}

/* Each of these costs one of the ten look-ups (RFC 7208 section 4.6.4). */
static enum match match_lookup(struct evaluation *evaluation, struct span term, enum spf_result qualifier)
{
    struct argument argument;
    struct span rest = {NULL, 0};
    bool is_include = has_name(term, "include", &rest);
    bool is_mx = !is_include && has_name(term, "mx", &rest);
    bool is_a = !is_include && !is_mx && has_name(term, "a", &rest);
    enum match found;

    if (!is_include && !is_mx && !is_a)
        return MATCH_UNKNOWN; /* exists, ptr, or nothing that RFC 7208 knows */
    if (++evaluation->lookups > SPF_LOOKUPS_MAX || !parse_argument(evaluation, rest, &argument))
        return MATCH_BROKEN;
    if (is_include) {
        found = push(evaluation, argument.domain, qualifier);
        return found == MATCH_NO ? MATCH_BROKEN : found; /* an include without a record is an error */
    }
    if (is_mx)
        return match_mx(evaluation, argument.domain, argument.bits4, argument.bits6);
    return match_addresses(evaluation, argument.domain, argument.bits4, argument.bits6);
}

static enum spf_result take_qualifier(struct span *term)
{
    static const char SIGNS[] = "+-~?";
    static const enum spf_result RESULTS[] = {SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
    const char *found = term->len > 0 && *term->at != '\0' ? strchr(SIGNS, *term->at) : NULL;

    if (found == NULL)
        return SPF_PASS;
    term->at++;
    term->len--;
    return RESULTS[found - SIGNS];
}

static enum match match_term(struct evaluation *evaluation, struct span term, enum spf_result qualifier)
{
    struct reading *reading = &evaluation->stack[evaluation->depth - 1];
    struct span rest = {NULL, 0};

    if (memchr(term.at, '%', term.len) != NULL)
        return MATCH_UNKNOWN;
    if (has_name(term, "redirect", &rest) && rest.len > 1) {
        reading->redirect = arena_copy_text(evaluation->arena, rest.at + 1, rest.len - 1);
        return MATCH_NO;
    }
    if (memchr(term.at, '=', term.len) != NULL)
        return MATCH_NO; /* another modifier, as exp= */
    if (span_is(term, "all"))
        return MATCH_YES;
    if ((has_name(term, "ip4", &rest) || has_name(term, "ip6", &rest)) && rest.len > 1)
        return match_network(evaluation, (struct span){rest.at + 1, rest.len - 1});
    return match_lookup(evaluation, term, qualifier);
}

/* ---- reading ---- */

static enum spf_result result_of(enum match match)
{
    if (match == MATCH_TEMPORARY)
        return SPF_TEMPORARY;
    return match == MATCH_UNKNOWN ? SPF_UNKNOWN : SPF_BROKEN;
}

/* The innermost record ended with this result: the whole result, or on with the record around it. */
static bool finish_record(struct evaluation *evaluation, enum spf_result result, enum spf_result *result_out)
{
    while (evaluation->depth > 1) {
        enum spf_result if_matched = evaluation->stack[evaluation->depth - 1].if_matched;

        evaluation->depth--;
        if (result != SPF_PASS)
            return false; /* the include does not match; go on behind it */
        result = if_matched;
    }
    *result_out = result;
    return true;
}

/* One term of the innermost record; true when the whole is decided. */
static bool step(struct evaluation *evaluation, enum spf_result *result_out)
{
    struct reading *reading = &evaluation->stack[evaluation->depth - 1];
    enum spf_result qualifier;
    enum match match;
    struct span term;

    (void)cursor_skip_any(&reading->cursor, " ");
    term = cursor_take_until(&reading->cursor, " ");
    if (term.len == 0 && reading->redirect == NULL)
        return finish_record(evaluation, SPF_NEUTRAL, result_out);
    if (term.len == 0) {
        const char *domain = reading->redirect;

        evaluation->depth--;
        evaluation->lookups++;
        match = evaluation->lookups > SPF_LOOKUPS_MAX ? MATCH_BROKEN
                                                      : push(evaluation, domain, reading->if_matched);
        *result_out = result_of(match);
        return match != MATCH_PUSHED;
    }
    qualifier = take_qualifier(&term);
    match = match_term(evaluation, term, qualifier);
    if (match == MATCH_NO || match == MATCH_PUSHED)
        return false;
    if (match == MATCH_YES)
        return finish_record(evaluation, qualifier, result_out);
    *result_out = result_of(match);
    return true;
}

enum spf_result spf_evaluate(struct resolver *resolver, struct arena *arena, const char *domain,
                             const struct address *address)
{
    struct evaluation evaluation = {.resolver = resolver, .arena = arena, .address = address};
    enum spf_result result = SPF_BROKEN;
    enum match match = push(&evaluation, domain, SPF_PASS);

    if (match == MATCH_NO)
        return SPF_NONE;
    if (match != MATCH_PUSHED)
        return result_of(match);
    for (bool is_decided = false; !is_decided;)
        is_decided = step(&evaluation, &result);
    return result;
}
