/* SPDX-License-Identifier: MIT */
/*
 * How it works.  A batch is one page of the day's names, read from the session store after the last name of
 * the page before; domains that the ledger has settled are dropped.  Then the dispositions are decided:
 *
 * 1. The operator's rules refuse some domains; nothing is looked up for these.
 * 2. The records of all others are asked for together.
 * 3. If the DNS gave no answer, the latest record that an MTA saw on that day counts.
 * 4. URLs with a port that we do not connect to, and destinations that the operator suppressed, are left out.
 */
#include "candidates.h"

#include <string.h>

/* One batch: the candidates, the records' texts and what was parsed from them. */
#define BATCH_ARENA_MAX ((size_t)CANDIDATES_AT_ONCE * (TLSRPT_ARENA_MAX + sizeof(struct candidate)))

#define NAME_BYTES_MAX 65536 /* DNS has 255; a fleet's database may hold anything */

/* How old a record that an MTA saw may be to replace a failed lookup. */
#define SEEN_RECORD_MAX_AGE_S (24 * 3600)

static const char *const REASONS[TLSRPT_RECORD_RESULT_COUNT] = {
    [TLSRPT_OK] = "",
    [TLSRPT_NO_RECORD] = "no TLSRPT record",
    [TLSRPT_MULTIPLE] = "more than one TLSRPT record",
    [TLSRPT_NO_RUA] = "the TLSRPT record has no rua",
    [TLSRPT_NO_USABLE_RUA] = "the TLSRPT record has no usable rua",
};

void candidates_open(struct candidates *candidates, struct generator *generator, int32_t utc_day,
                     enum candidates_scope scope, const char *only)
{
    *candidates =
        (struct candidates){.generator = generator, .utc_day = utc_day, .scope = scope, .only = only};
    arena_init(&candidates->arena, BATCH_ARENA_MAX);
    strbuf_init(&candidates->last, NAME_BYTES_MAX);
}

void candidates_close(struct candidates *candidates)
{
    arena_done(&candidates->arena);
    strbuf_done(&candidates->last);
}

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "list of domains: out of memory");
}

/* ---- the next batch ---- */

static enum status take_name(void *context, const char *domain, const struct session_counts *sessions,
                             struct err *err)
{
    struct candidates *candidates = context;
    const char *copy = arena_copy_text(&candidates->arena, domain, strlen(domain));

    if (copy == NULL)
        return no_memory(err);
    if (candidates->count == CANDIDATES_AT_ONCE)
        return err_set(err, ST_INTERNAL, "the session store gave more domains than it was asked for");
    candidates->items[candidates->count++] =
        (struct candidate){.domain = copy, .sessions = *sessions, .reason = ""};
    return ST_OK;
}

/* All names after the last one, at most CANDIDATES_AT_ONCE. */
static enum status read_page(struct candidates *candidates, struct err *err)
{
    enum status status;

    arena_reset(&candidates->arena);
    candidates->count = 0;
    candidates->items = arena_alloc_array(&candidates->arena, CANDIDATES_AT_ONCE, sizeof *candidates->items);
    if (candidates->items == NULL)
        return no_memory(err);
    if (candidates->names_read >= DAY_DOMAINS_MAX)
        return err_set(err, ST_RANGE, "more than %u domains on one day", DAY_DOMAINS_MAX);
    status =
        session_reader_each_domain(candidates->generator->sessions, candidates->utc_day,
                                   candidates->last.data, CANDIDATES_AT_ONCE, take_name, candidates, err);
    if (status != ST_OK)
        return status;
    candidates->names_read += candidates->count;
    candidates->is_at_end = candidates->count < CANDIDATES_AT_ONCE;
    if (candidates->is_at_end)
        return ST_OK;
    strbuf_reset(&candidates->last);
    strbuf_add_text(&candidates->last, candidates->items[candidates->count - 1].domain);
    return strbuf_is_failed(&candidates->last) ? no_memory(err) : ST_OK;
}

static enum status is_in_scope(const struct candidates *candidates, const char *domain, bool *is_in_scope_out,
                               struct err *err)
{
    struct ledger *ledger = candidates->generator->ledger;
    enum ledger_entry entry = LEDGER_NOTHING;
    enum status status = ST_OK;

    *is_in_scope_out = false;
    if (candidates->only != NULL && strcmp(domain, candidates->only) != 0)
        return ST_OK;
    if (candidates->scope == CANDIDATES_OPEN && ledger != NULL)
        status = ledger_find(ledger, candidates->utc_day, domain, &entry, NULL, err);
    *is_in_scope_out = entry == LEDGER_NOTHING || entry == LEDGER_WAITING;
    return status;
}

/* A ledger that is far away answers for the whole page at once. */
static enum status prefetch(const struct candidates *candidates, struct err *err)
{
    struct ledger *ledger = candidates->generator->ledger;
    const char *names[CANDIDATES_AT_ONCE];

    if (ledger == NULL || candidates->count == 0)
        return ST_OK;
    for (size_t i = 0; i < candidates->count; i++)
        names[i] = candidates->items[i].domain;
    return ledger_prefetch(ledger, candidates->utc_day, names, candidates->count, err);
}

static enum status keep_in_scope(struct candidates *candidates, struct err *err)
{
    enum status status = prefetch(candidates, err);
    size_t kept = 0;

    for (size_t i = 0; status == ST_OK && i < candidates->count; i++) {
        bool is_kept;

        status = is_in_scope(candidates, candidates->items[i].domain, &is_kept, err);
        if (status == ST_OK && is_kept)
            candidates->items[kept++] = candidates->items[i];
    }
    candidates->count = kept;
    return status;
}

enum status candidates_next(struct candidates *candidates, struct err *err)
{
    enum status status = ST_OK;

    candidates->count = 0;
    while (status == ST_OK && candidates->count == 0 && !candidates->is_at_end) {
        status = read_page(candidates, err);
        if (status == ST_OK)
            status = keep_in_scope(candidates, err);
    }
    return status;
}

/* ---- lookups ---- */

/* A domain whose record is asked for; status: of reading the answer. */
struct record_question {
    struct arena *arena;
    struct candidate *candidate;
    enum status status;
};

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

static enum status read_answer(struct record_question *question, const struct resolve_answer *answer)
{
    struct candidate *candidate = question->candidate;
    struct span *texts = arena_alloc_array(question->arena, answer->txt_count + 1, sizeof *texts);
    enum status status;

    if (texts == NULL)
        return ST_NOMEM;
    if (answer->result == RESOLVE_TEMPORARY) {
        candidate->reason = arena_copy_text(question->arena, answer->reason, strlen(answer->reason));
        return candidate->reason != NULL ? ST_OK : ST_NOMEM;
    }
    for (size_t i = 0; i < answer->txt_count; i++) {
        texts[i].at = arena_copy_text(question->arena, answer->txts[i].at, answer->txts[i].len);
        texts[i].len = answer->txts[i].len;
        if (texts[i].at == NULL)
            return ST_NOMEM;
    }
    status = tlsrpt_record_choose(texts, answer->txt_count, question->arena, &candidate->record, NULL);
    if (status == ST_OK)
        take_record(candidate);
    return status;
}

static void take_answer(void *context, const struct resolve_answer *answer)
{
    struct record_question *question = context;

    question->status = read_answer(question, answer);
}

/* Every candidate that the rules do not refuse waits until there is an answer. */
static enum status ask_all(struct candidates *candidates, struct record_question *questions, struct err *err)
{
    struct generator *generator = candidates->generator;
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < candidates->count; i++) {
        struct candidate *candidate = &candidates->items[i];
        const char *refused =
            send_rules_refuse(&generator->config->rules, candidate->domain, &candidate->sessions);

        questions[i] = (struct record_question){.arena = &candidates->arena, .candidate = candidate};
        candidate->disposition = CANDIDATE_WAIT;
        if (refused != NULL) {
            skip(candidate, refused);
            continue;
        }
        status = resolve_add(generator->resolver, RESOLVE_TLSRPT, candidate->domain, take_answer,
                             &questions[i], err);
        if (status == ST_SYNTAX || status == ST_RANGE) {
            skip(candidate, "the name is too long to have a TLSRPT record");
            status = ST_OK;
        }
    }
    resolve_run(generator->resolver, NULL); /* also after a failure: the questions die with our caller */
    return status;
}

/* ---- without an answer ---- */

struct seen_record {
    struct candidates *candidates;
    struct candidate *candidate;
    bool is_taken;
};

/* The latest comes first. */
static enum status take_seen_record(void *context, const char *text, int64_t last_seen_s, struct err *err)
{
    struct seen_record *seen = context;
    struct arena *arena = &seen->candidates->arena;
    const char *copy;

    if (seen->is_taken || seen->candidates->generator->now_s - last_seen_s > SEEN_RECORD_MAX_AGE_S)
        return ST_OK;
    copy = arena_copy_text(arena, text, strlen(text));
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "record: out of memory");
    seen->is_taken = true;
    return tlsrpt_record_parse(copy, strlen(copy), arena, &seen->candidate->record, err);
}

static enum status fall_back(struct candidates *candidates, struct candidate *candidate, struct err *err)
{
    struct seen_record seen = {.candidates = candidates, .candidate = candidate};
    enum status status = session_reader_each_record(candidates->generator->sessions, candidates->utc_day,
                                                    candidate->domain, take_seen_record, &seen, err);

    if (status == ST_OK && seen.is_taken)
        take_record(candidate);
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

static enum status decide(struct candidates *candidates, struct candidate *candidate, struct err *err)
{
    struct generator *generator = candidates->generator;
    enum status status = ST_OK;

    if (candidate->disposition == CANDIDATE_WAIT)
        status = fall_back(candidates, candidate, err); /* 3 */
    if (candidate->disposition == CANDIDATE_REPORT)
        drop_refused_ports(&generator->https_policy, candidate); /* 4 */
    if (candidate->disposition == CANDIDATE_REPORT)
        leave_suppressed(&generator->suppressed, candidate);
    return status;
}

enum status candidates_look_up(struct candidates *candidates, struct err *err)
{
    struct record_question questions[CANDIDATES_AT_ONCE] = {{0}};
    enum status status = ask_all(candidates, questions, err); /* 1, 2 */

    for (size_t i = 0; status == ST_OK && i < candidates->count; i++) {
        if (questions[i].status != ST_OK)
            return err_set(err, ST_NOMEM, "%s: record: out of memory", candidates->items[i].domain);
        status = decide(candidates, &candidates->items[i], err);
    }
    return status;
}
