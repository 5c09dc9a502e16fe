/* SPDX-License-Identifier: MIT */
/*
 * How it works.  candidates_next keeps CANDIDATES_AT_ONCE lookups under way (refill), waits until some are answered
 * (wait_for_answers), and decides those:
 *
 * 1. The operator's rules refuse some domains; nothing is looked up for these.
 * 2. The others' records are asked for.
 * 3. If the DNS gave no answer, the latest record that an MTA saw on that day counts.
 * 4. URLs with a port that we do not connect to, and destinations that the operator suppressed, are left out.
 */
#include "candidates.h"

#include <string.h>

#include "base/clock.h"
#include "model/organization.h"

#define STEP_MS   100 /* a batch waits at most so long for further answers */
#define ARENA_MAX (TLSRPT_ARENA_MAX + 131072u)

/* How old a record that an MTA saw may be to replace a failed lookup. */
#define SEEN_RECORD_MAX_AGE_S (24 * 3600)

static const char *const REASONS[TLSRPT_RECORD_RESULT_COUNT] = {
    [TLSRPT_OK] = "",
    [TLSRPT_NO_RECORD] = "no TLSRPT record",
    [TLSRPT_MULTIPLE] = "more than one TLSRPT record",
    [TLSRPT_NO_RUA] = "the TLSRPT record has no rua",
    [TLSRPT_NO_USABLE_RUA] = "the TLSRPT record has no usable rua",
};

void candidates_open(struct candidates *candidates, const struct candidates_order *order)
{
    *candidates = (struct candidates){.order = *order};
    day_domains_open(&candidates->domains, order->generator, order->utc_day, order->scope, order->only);
    for (size_t i = 0; i < CANDIDATES_AT_ONCE; i++)
        arena_init(&candidates->lookups[i].arena, ARENA_MAX);
}

/* ---- 1, 2: questions ---- */

static void skip(struct candidate *candidate, const char *reason)
{
    candidate->disposition = CANDIDATE_SKIP;
    candidate->reason = reason;
}

static void take_record(struct candidate *candidate)
{
    candidate->disposition = candidate->record.result == TLSRPT_OK ? CANDIDATE_REPORT : CANDIDATE_SKIP;
    candidate->reason = REASONS[candidate->record.result];
}

static enum status read_answer(struct candidate_lookup *lookup, const struct resolve_answer *answer)
{
    struct candidate *candidate = &lookup->candidate;
    struct span *texts = arena_alloc_array(&lookup->arena, answer->txt_count + 1, sizeof *texts);
    enum status status;

    if (texts == NULL)
        return ST_NOMEM;
    if (answer->result == RESOLVE_TEMPORARY) {
        if (lookup->silent != NULL)
            sketch_add(lookup->silent, organization_of(candidate->domain));
        candidate->reason = arena_copy_text(&lookup->arena, answer->reason, strlen(answer->reason));
        return candidate->reason != NULL ? ST_OK : ST_NOMEM;
    }
    for (size_t i = 0; i < answer->txt_count; i++) {
        texts[i].at = arena_copy_text(&lookup->arena, answer->txts[i].at, answer->txts[i].len);
        texts[i].len = answer->txts[i].len;
        if (texts[i].at == NULL)
            return ST_NOMEM;
    }
    status = tlsrpt_record_choose(texts, answer->txt_count, &lookup->arena, &candidate->record, NULL);
    if (status == ST_OK)
        take_record(candidate);
    return status;
}

static void take_answer(void *context, const struct resolve_answer *answer)
{
    struct candidate_lookup *lookup = context;

    lookup->status = read_answer(lookup, answer);
    lookup->state = LOOKUP_ANSWERED;
}

/* A domain whose last chance it is will be asked for all the same. */
static bool is_owner_silent(const struct candidates *candidates, const struct day_domain *domain)
{
    const int64_t now_s = candidates->order.generator->now_s;
    bool is_last_chance = domain->since_s > 0 && now_s - domain->since_s >= CANDIDATES_WAIT_S;

    return candidates->order.silent != NULL && !is_last_chance &&
           sketch_get(candidates->order.silent, organization_of(domain->name)) >= CANDIDATES_SILENT_MAX;
}

/* A domain that the rules do not refuse waits until there is an answer. */
static enum status ask(struct candidates *candidates, struct candidate_lookup *lookup,
                       const struct day_domain *domain, struct err *err)
{
    struct generator *generator = candidates->order.generator;
    struct candidate *candidate = &lookup->candidate;
    const char *refused = send_rules_refuse(&generator->config->rules, domain->name, &domain->sessions);
    enum status status;

    arena_reset(&lookup->arena);
    lookup->status = ST_OK;
    lookup->state = LOOKUP_ANSWERED;
    lookup->silent = candidates->order.silent;
    *candidate =
        (struct candidate){.domain = arena_copy_text(&lookup->arena, domain->name, strlen(domain->name)),
                           .sessions = domain->sessions,
                           .disposition = CANDIDATE_WAIT,
                           .reason = ""};
    if (candidate->domain == NULL)
        return err_set(err, ST_NOMEM, "list of domains: out of memory");
    if (refused != NULL) {
        skip(candidate, refused);
        return ST_OK;
    }
    if (is_owner_silent(candidates, domain)) {
        candidate->reason = "not asked: other domains of its owner got no answer";
        return ST_OK;
    }
    status = resolve_add(generator->resolver, RESOLVE_TLSRPT, candidate->domain, take_answer, lookup, err);
    if (status == ST_OK)
        lookup->state = LOOKUP_ASKED;
    if (status != ST_SYNTAX && status != ST_RANGE)
        return status;
    skip(candidate, "the name is too long to have a TLSRPT record");
    return ST_OK;
}

static bool is_time_up(const struct candidates *candidates)
{
    return generator_is_stopping != 0 ||
           (candidates->order.stop_at_ms > 0 && clock_monotonic_ms() >= candidates->order.stop_at_ms);
}

/* *domain_out is NULL if there are no more. */
static enum status next_domain(struct candidates *candidates, const struct day_domain **domain_out,
                               struct err *err)
{
    struct day_domains *domains = &candidates->domains;
    enum status status = ST_OK;

    *domain_out = NULL;
    if (candidates->next_domain == domains->count) {
        candidates->next_domain = 0;
        status = day_domains_next(domains, err);
    }
    if (status == ST_OK && domains->count > 0)
        *domain_out = &domains->items[candidates->next_domain++];
    return status;
}

static size_t count_lookups(const struct candidates *candidates, int state)
{
    size_t count = 0;

    for (size_t i = 0; i < CANDIDATES_AT_ONCE; i++)
        count += (int)candidates->lookups[i].state == state;
    return count;
}

/* Let every free place have a domain. */
static enum status refill(struct candidates *candidates, struct err *err)
{
    const struct day_domain *domain;
    enum status status = ST_OK;

    if (candidates->order.is_sorted && count_lookups(candidates, LOOKUP_FREE) < CANDIDATES_AT_ONCE)
        return ST_OK;
    for (size_t i = 0; status == ST_OK && i < CANDIDATES_AT_ONCE; i++) {
        if (candidates->lookups[i].state != LOOKUP_FREE)
            continue;
        status = next_domain(candidates, &domain, err);
        if (status != ST_OK || domain == NULL)
            break;
        if (is_time_up(candidates)) {
            candidates->is_cut = true;
            candidates->next_domain--;
            break;
        }
        status = ask(candidates, &candidates->lookups[i], domain, err);
    }
    return status;
}

/* ---- answers ---- */

/* Until all are answered; or, unless they are to be sorted, until some are and a moment has passed. */
static void wait_for_answers(const struct candidates *candidates)
{
    const int64_t begin_ms = clock_monotonic_ms();

    while (count_lookups(candidates, LOOKUP_ASKED) > 0) {
        bool is_long = clock_monotonic_ms() >= begin_ms + STEP_MS;

        if (!candidates->order.is_sorted && is_long && count_lookups(candidates, LOOKUP_ANSWERED) > 0)
            return;
        resolve_step(candidates->order.generator->resolver, STEP_MS);
    }
}

/* ---- without an answer ---- */

struct seen_record {
    struct candidate_lookup *lookup;
    int64_t now_s;
    bool is_taken;
};

/* The latest comes first. */
static enum status take_seen_record(void *context, const char *text, int64_t last_seen_s, struct err *err)
{
    struct seen_record *seen = context;
    struct arena *arena = &seen->lookup->arena;
    const char *copy;

    if (seen->is_taken || seen->now_s - last_seen_s > SEEN_RECORD_MAX_AGE_S)
        return ST_OK;
    copy = arena_copy_text(arena, text, strlen(text));
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "record: out of memory");
    seen->is_taken = true;
    return tlsrpt_record_parse(copy, strlen(copy), arena, &seen->lookup->candidate.record, err);
}

static enum status fall_back(const struct candidates *candidates, struct candidate_lookup *lookup,
                             struct err *err)
{
    struct seen_record seen = {.lookup = lookup, .now_s = candidates->order.generator->now_s};
    enum status status =
        session_reader_each_record(candidates->order.generator->sessions, candidates->order.utc_day,
                                   lookup->candidate.domain, take_seen_record, &seen, err);

    if (status == ST_OK && seen.is_taken)
        take_record(&lookup->candidate);
    return status;
}

/* ---- what is left out ---- */

static void leave_suppressed(const struct suppress_list *suppressed, struct candidate *candidate)
{
    struct tlsrpt_record *record = &candidate->record;
    size_t kept = 0;

    for (size_t i = 0; i < record->rua_count; i++)
        if (!suppress_list_has(suppressed, &record->ruas[i]))
            record->ruas[kept++] = record->ruas[i];
    record->rua_count = kept;
    if (kept == 0)
        skip(candidate, "every destination is suppressed");
}

/* Without the URLs whose port we do not connect to: each delivery to them would be given up. */
static void drop_refused_ports(const struct address_policy *policy, struct candidate *candidate)
{
    struct tlsrpt_record *record = &candidate->record;
    size_t kept = 0;

    for (size_t i = 0; i < record->rua_count; i++)
        if (record->ruas[i].kind != RUA_HTTPS || address_policy_allows_port(policy, record->ruas[i].port))
            record->ruas[kept++] = record->ruas[i];
    record->rua_count = kept;
    if (kept == 0)
        skip(candidate, "every destination has a port that is not in https_allow");
}

static enum status decide(struct candidates *candidates, struct candidate_lookup *lookup, struct err *err)
{
    const struct generator *generator = candidates->order.generator;
    struct candidate *candidate = &lookup->candidate;
    enum status status = ST_OK;

    if (lookup->status != ST_OK)
        return err_set(err, ST_NOMEM, "%s: record: out of memory", candidate->domain);
    if (candidate->disposition == CANDIDATE_WAIT)
        status = fall_back(candidates, lookup, err); /* 3 */
    if (candidate->disposition == CANDIDATE_REPORT)
        drop_refused_ports(&generator->https_policy, candidate); /* 4 */
    if (candidate->disposition == CANDIDATE_REPORT)
        leave_suppressed(&generator->suppressed, candidate);
    return status;
}

/* ---- batches ---- */

static void free_given(struct candidates *candidates)
{
    for (size_t i = 0; i < CANDIDATES_AT_ONCE; i++)
        if (candidates->lookups[i].state == LOOKUP_GIVEN)
            candidates->lookups[i].state = LOOKUP_FREE;
    candidates->count = 0;
}

enum status candidates_next(struct candidates *candidates, struct err *err)
{
    enum status status;

    free_given(candidates);
    status = refill(candidates, err);
    if (status == ST_OK)
        wait_for_answers(candidates);
    for (size_t i = 0; status == ST_OK && i < CANDIDATES_AT_ONCE; i++) {
        struct candidate_lookup *lookup = &candidates->lookups[i];

        if (lookup->state != LOOKUP_ANSWERED)
            continue;
        lookup->state = LOOKUP_GIVEN;
        candidates->items[candidates->count++] = &lookup->candidate;
        status = decide(candidates, lookup, err);
    }
    return status;
}

void candidates_close(struct candidates *candidates)
{
    static const volatile sig_atomic_t STOP = 1;

    if (count_lookups(candidates, LOOKUP_ASKED) > 0)
        resolve_run(candidates->order.generator->resolver, &STOP); /* nothing may call us later */
    day_domains_close(&candidates->domains);
    for (size_t i = 0; i < CANDIDATES_AT_ONCE; i++)
        arena_done(&candidates->lookups[i].arena);
}
