/* SPDX-License-Identifier: MIT */
#include "candidates.h"

#include <stdlib.h>
#include <string.h>

#include "own_traffic.h"

/* Names of a day's domains: 2 million of the longest kind. */
#define NAMES_ARENA_MAX (512u << 20)
#define NAMES_MAX       INT64_C(16777216)

/* One batch: the records' texts and what was parsed from them. */
#define BATCH_ARENA_MAX ((size_t)CANDIDATES_AT_ONCE * TLSRPT_ARENA_MAX)

/* How old a record that an MTA saw may be to stand in for a failed look-up. */
#define SEEN_RECORD_MAX_AGE_S (24 * 3600)

static const char *const REASONS[TLSRPT_RECORD_RESULT_COUNT] = {
    [TLSRPT_OK] = "",
    [TLSRPT_NO_RECORD] = "no TLSRPT record",
    [TLSRPT_MULTIPLE] = "more than one TLSRPT record",
    [TLSRPT_NO_RUA] = "the TLSRPT record has no rua",
    [TLSRPT_NO_USABLE_RUA] = "the TLSRPT record has no usable rua",
};

/* ---- all names of the day ---- */

struct named_domain {
    const char *name;
    struct session_counts sessions;
};

struct name_list {
    struct arena arena;
    struct named_domain *items;
    size_t count;
    size_t capacity;
    candidates_filter_fn *filter;
    void *context;
};

static enum status grow(struct name_list *list, struct err *err)
{
    size_t capacity = list->capacity > 0 ? list->capacity * 2 : CANDIDATES_AT_ONCE;
    struct named_domain *items;

    if (list->count < list->capacity)
        return ST_OK;
    items = realloc(list->items, capacity * sizeof *items);
    if (items == NULL)
        return err_set(err, ST_NOMEM, "list of domains: out of memory");
    list->items = items;
    list->capacity = capacity;
    return ST_OK;
}

static enum status take_name(void *context, const char *domain, const struct session_counts *sessions,
                             struct err *err)
{
    struct name_list *list = context;
    enum status status = grow(list, err);
    const char *name;

    if (status != ST_OK)
        return status;
    name = arena_copy_text(&list->arena, domain, strlen(domain));
    if (name == NULL)
        return err_set(err, ST_NOMEM, "list of domains: out of memory");
    list->items[list->count++] = (struct named_domain){.name = name, .sessions = *sessions};
    return ST_OK;
}

/* ---- one batch ---- */

struct batch {
    struct generator *generator;
    int32_t utc_day;
    struct arena arena;
    struct candidate candidates[CANDIDATES_AT_ONCE];
    size_t count;
};

struct record_question {
    struct batch *batch;
    struct candidate *candidate;
    enum status status; /* of reading the answer */
};

static void settle(struct candidate *candidate)
{
    bool is_ok = candidate->record.result == TLSRPT_OK;

    candidate->disposition = is_ok ? CANDIDATE_REPORT : CANDIDATE_SKIP;
    candidate->reason = REASONS[candidate->record.result];
}

/* The latest record that an MTA saw, for when DNS gives no answer. */
struct seen_record {
    struct batch *batch;
    struct candidate *candidate;
    bool is_taken;
};

static enum status take_seen_record(void *context, const char *text, int64_t last_seen_s, struct err *err)
{
    struct seen_record *seen = context;
    const char *copy;

    if (seen->is_taken || seen->batch->generator->now_s - last_seen_s > SEEN_RECORD_MAX_AGE_S)
        return ST_OK;
    copy = arena_copy_text(&seen->batch->arena, text, strlen(text));
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "record: out of memory");
    seen->is_taken = true;
    return tlsrpt_record_parse(copy, strlen(copy), &seen->batch->arena, &seen->candidate->record, err);
}

static enum status fall_back(struct batch *batch, struct candidate *candidate, struct err *err)
{
    struct seen_record seen = {.batch = batch, .candidate = candidate};
    enum status status = session_store_each_record(batch->generator->sessions, batch->utc_day,
                                                   candidate->domain, take_seen_record, &seen, err);

    if (status != ST_OK)
        return status;
    if (seen.is_taken)
        settle(candidate);
    return ST_OK;
}

/* A temporary failure is known only after all answers: the fall-back reads the store, and may fail itself. */
static void take_answer(void *context, const struct resolve_answer *answer)
{
    struct record_question *question = context;
    struct candidate *candidate = question->candidate;
    struct arena *arena = &question->batch->arena;
    struct span *texts = arena_alloc_array(arena, answer->txt_count + 1, sizeof *texts);

    question->status = texts != NULL ? ST_OK : ST_NOMEM;
    if (answer->result == RESOLVE_TEMPORARY) {
        candidate->disposition = CANDIDATE_WAIT;
        candidate->reason = arena_copy_text(arena, answer->reason, strlen(answer->reason));
        if (candidate->reason == NULL)
            question->status = ST_NOMEM;
        return;
    }
    for (size_t i = 0; question->status == ST_OK && i < answer->txt_count; i++) {
        texts[i].at = arena_copy_text(arena, answer->txts[i].at, answer->txts[i].len);
        texts[i].len = answer->txts[i].len;
        if (texts[i].at == NULL)
            question->status = ST_NOMEM;
    }
    if (question->status == ST_OK)
        question->status = tlsrpt_record_choose(texts, answer->txt_count, arena, &candidate->record, NULL);
    settle(candidate);
}

/* Leave out the destinations that the operator does not want. */
static void leave_suppressed(const struct batch *batch, struct candidate *candidate)
{
    struct tlsrpt_record *record = &candidate->record;
    size_t kept = 0;

    if (candidate->disposition != CANDIDATE_REPORT)
        return;
    for (size_t i = 0; i < record->rua_count; i++)
        if (!suppress_list_has(&batch->generator->suppressed, &record->ruas[i]))
            record->ruas[kept++] = record->ruas[i];
    record->rua_count = kept;
    if (kept > 0)
        return;
    candidate->disposition = CANDIDATE_SKIP;
    candidate->reason = "every destination is suppressed";
}

/* R50 */
static enum status leave_own_traffic(struct batch *batch, struct candidate *candidate, struct err *err)
{
    bool is_all = false;
    enum status status = ST_OK;

    if (candidate->disposition == CANDIDATE_REPORT)
        status = own_traffic_is_all(batch->generator, batch->utc_day, candidate->domain, &candidate->sessions,
                                    &is_all, err);
    if (status == ST_OK && is_all) {
        candidate->disposition = CANDIDATE_SKIP;
        candidate->reason = "its only sessions carried our own reports";
    }
    return status;
}

static enum status resolve_all(struct batch *batch, struct err *err)
{
    struct record_question questions[CANDIDATES_AT_ONCE] = {{0}};
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < batch->count; i++) {
        struct candidate *candidate = &batch->candidates[i];

        if (candidate->disposition == CANDIDATE_SKIP)
            continue;
        questions[i] = (struct record_question){.batch = batch, .candidate = candidate};
        status = resolve_add(batch->generator->resolver, RESOLVE_TLSRPT, candidate->domain, take_answer,
                             &questions[i], err);
        if (status == ST_SYNTAX || status == ST_RANGE) {
            candidate->disposition = CANDIDATE_SKIP;
            candidate->reason = "the name is too long to have a TLSRPT record";
            status = ST_OK;
        }
    }
    resolve_run(batch->generator->resolver, NULL); /* whatever was asked: questions does not outlive us */
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < batch->count; i++) {
        if (questions[i].status == ST_NOMEM)
            return err_set(err, ST_NOMEM, "%s: record: out of memory", batch->candidates[i].domain);
        if (batch->candidates[i].disposition == CANDIDATE_WAIT)
            status = fall_back(batch, &batch->candidates[i], err);
        leave_suppressed(batch, &batch->candidates[i]);
        if (status == ST_OK)
            status = leave_own_traffic(batch, &batch->candidates[i], err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* What the operator's rules refuse is known without a look-up. */
static struct candidate begin_candidate(const struct config *config, const struct named_domain *item)
{
    const char *reason = send_rules_refuse(&config->rules, item->name, &item->sessions);

    return (struct candidate){.domain = item->name,
                              .sessions = item->sessions,
                              .disposition = reason != NULL ? CANDIDATE_SKIP : CANDIDATE_WAIT,
                              .reason = reason != NULL ? reason : ""};
}

/* The ledger will be asked for each of these. */
static enum status prefetch(const struct batch *batch, const struct name_list *list, size_t at,
                            struct err *err)
{
    const char *names[CANDIDATES_AT_ONCE];
    size_t count = 0;

    if (batch->generator->ledger == NULL || at % CANDIDATES_AT_ONCE != 0)
        return ST_OK;
    for (; at < list->count && count < CANDIDATES_AT_ONCE; at++)
        names[count++] = list->items[at].name;
    return ledger_prefetch(batch->generator->ledger, batch->utc_day, names, count, err);
}

/* Take wanted names from position *at on until the batch is full, or the ledger is to be asked anew. */
static enum status fill(struct batch *batch, struct name_list *list, size_t *at, struct err *err)
{
    batch->count = 0;
    arena_reset(&batch->arena);
    for (; *at < list->count && batch->count < CANDIDATES_AT_ONCE; (*at)++) {
        const struct named_domain *item = &list->items[*at];
        bool is_wanted = true;
        enum status status;

        if (*at % CANDIDATES_AT_ONCE == 0 && batch->count > 0)
            return ST_OK; /* what is known of these must be known until they are built */
        status = prefetch(batch, list, *at, err);
        if (status == ST_OK)
            status = list->filter(list->context, item->name, &is_wanted, err);
        if (status != ST_OK)
            return status;
        if (is_wanted)
            batch->candidates[batch->count++] = begin_candidate(batch->generator->config, item);
    }
    return ST_OK;
}

enum status candidates_each(struct generator *generator, int32_t utc_day, candidates_filter_fn *filter,
                            candidates_fn *fn, void *context, struct err *err)
{
    struct name_list list = {.filter = filter, .context = context};
    struct batch *batch = calloc(1, sizeof *batch);
    enum status status;
    size_t at = 0;

    if (batch == NULL)
        return err_set(err, ST_NOMEM, "candidates: out of memory");
    batch->generator = generator;
    batch->utc_day = utc_day;
    arena_init(&batch->arena, BATCH_ARENA_MAX);
    arena_init(&list.arena, NAMES_ARENA_MAX);
    status = session_store_each_domain(generator->sessions, utc_day, "", NAMES_MAX, take_name, &list, err);
    while (status == ST_OK && at < list.count) {
        status = fill(batch, &list, &at, err);
        if (status == ST_OK && batch->count > 0)
            status = resolve_all(batch, err);
        if (status == ST_OK && batch->count > 0)
            status = fn(context, batch->candidates, batch->count, &batch->arena, err);
    }
    arena_done(&list.arena);
    arena_done(&batch->arena);
    free(list.items);
    free(batch);
    return status;
}
