/* SPDX-License-Identifier: MIT */
/*
 * 1. Write the report as if it fits, and note the size of each detail.  If it fits, that was all.
 * 2. Else sort the sizes by the number of sessions and find the cut: how many sessions a detail needs to be kept.
 * 3. Replay the source, write the details above the cut, and sum up those below it.
 */
#include "report/report_build.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS_MIN       64
#define FOLD_ENTRY_BYTES  88 /* at most, for one entry of a type and a count */
#define FOLD_POLICY_BYTES 24 /* the array around them */

/* What to keep: details of more than sessions, and of exactly sessions while their bytes fit in room. */
struct cut {
    uint64_t sessions;
    uint64_t room_bytes;
};

/* Bytes of neighbouring details that occurred in so many sessions each. */
struct detail_weight {
    uint64_t sessions;
    uint64_t bytes;
};

struct build {
    const struct report_meta *meta;
    uint64_t max_bytes;
    const struct report_source *source;
    const struct report_sink *sink;

    /* measuring */
    struct report_writer measure;
    bool is_muted; /* passed max_bytes: nothing more goes to the sink */
    struct detail_weight *weights;
    size_t weight_count, weight_room;
    uint64_t detail_bytes; /* of all details that could be folded */
    uint64_t fold_bytes;   /* what the folded entries may need at most */
    uint64_t details;
    unsigned types_seen; /* bit set of this policy's result types */

    /* folding */
    struct report_writer writer;
    struct cut cut;
    uint64_t fold_sessions[RESULT_TYPE_COUNT]; /* of this policy */
    uint64_t folded;
};

/* ---- measuring ---- */

/* Pass bytes on while the report may still fit. */
static enum status write_limited(void *context, const char *bytes, size_t len, struct err *err)
{
    struct build *build = context;

    if (build->measure.total_bytes > build->max_bytes)
        build->is_muted = true;
    return build->is_muted ? ST_OK : build->sink->write(build->sink->context, bytes, len, err);
}

/* What the fold entries of the policy that ends here may need. */
static void reserve_fold_bytes(struct build *build)
{
    if (build->types_seen != 0)
        build->fold_bytes +=
            FOLD_POLICY_BYTES + FOLD_ENTRY_BYTES * (uint64_t)__builtin_popcount(build->types_seen);
    build->types_seen = 0;
}

static enum status measure_policy(void *context, const struct policy *policy,
                                  const struct session_counts *counts, struct err *err)
{
    struct build *build = context;

    reserve_fold_bytes(build);
    return report_add_policy(&build->measure, policy, counts, err);
}

/* A policy's details come by sessions descending, so equal ones share an entry. */
static enum status note_weight(struct build *build, uint64_t sessions, uint64_t bytes, struct err *err)
{
    size_t count = build->weight_count;

    if (count > 0 && build->weights[count - 1].sessions == sessions) {
        build->weights[count - 1].bytes += bytes;
        return ST_OK;
    }
    if (count == build->weight_room) {
        size_t room = build->weight_room > 0 ? 2 * build->weight_room : WEIGHTS_MIN;
        struct detail_weight *weights = reallocarray(build->weights, room, sizeof *weights);

        if (weights == NULL)
            return err_set(err, ST_NOMEM, "report: out of memory");
        build->weights = weights;
        build->weight_room = room;
    }
    build->weights[build->weight_count++] = (struct detail_weight){sessions, bytes};
    return ST_OK;
}

static enum status measure_detail(void *context, const struct failure_detail *detail, uint64_t sessions,
                                  struct err *err)
{
    struct build *build = context;
    uint64_t before = build->measure.total_bytes;
    enum status status = report_add_detail(&build->measure, detail, sessions, err);
    uint64_t bytes = build->measure.total_bytes - before;

    build->types_seen |= 1U << detail->result_type;
    build->detail_bytes += bytes;
    build->details++;
    return status == ST_OK ? note_weight(build, sessions, bytes, err) : status;
}

/* Step 1: replay everything into the measuring writer, and its bytes into the sink while they fit. */
static enum status measure(struct build *build, struct err *err)
{
    const struct report_sink limited = {.write = write_limited, .context = build};
    const struct report_visitor visitor = {measure_policy, measure_detail, build};
    enum status status = report_begin(&build->measure, build->meta, &limited, err);

    if (status == ST_OK)
        status = build->source->replay(build->source->context, &visitor, err);
    reserve_fold_bytes(build);
    if (status == ST_OK)
        status = report_end(&build->measure, err);
    return status;
}

/* ---- finding the cut ---- */

static int compare_weights(const void *a_pointer, const void *b_pointer)
{
    const struct detail_weight *a = a_pointer, *b = b_pointer;

    return a->sessions == b->sessions ? 0 : a->sessions < b->sessions ? 1 : -1;
}

/* Step 2: the largest number of sessions whose details do not all fit, and the bytes left for some of them. */
static void find_cut(struct build *build)
{
    uint64_t fixed = build->measure.total_bytes - build->detail_bytes + build->fold_bytes;
    uint64_t room = build->max_bytes > fixed ? build->max_bytes - fixed : 0;

    if (build->weight_count > 0)
        qsort(build->weights, build->weight_count, sizeof *build->weights, compare_weights);
    for (size_t i = 0, next; i < build->weight_count; i = next) {
        uint64_t bytes = 0;

        for (next = i;
             next < build->weight_count && build->weights[next].sessions == build->weights[i].sessions;
             next++)
            bytes += build->weights[next].bytes;
        if (bytes > room) {
            build->cut = (struct cut){build->weights[i].sessions, room};
            return;
        }
        room -= bytes;
    }
}

/* ---- folding ---- */

/* Has it nothing but its type? */
static bool is_bare(const struct failure_detail *detail)
{
    const struct failure_detail bare = {.result_type = detail->result_type};

    return failure_detail_compare(detail, &bare) == 0;
}

/* The type with most folded sessions, first word first among equals; RESULT_TYPE_COUNT if none is left. */
static enum result_type next_fold(const struct build *build)
{
    enum result_type best = RESULT_TYPE_COUNT;

    for (int i = 0; i < RESULT_TYPE_COUNT; i++) {
        enum result_type type = (enum result_type)i;
        uint64_t most = best == RESULT_TYPE_COUNT ? 0 : build->fold_sessions[best];

        if (build->fold_sessions[type] > most ||
            (best != RESULT_TYPE_COUNT && build->fold_sessions[type] == most &&
             strcmp(result_type_name(type), result_type_name(best)) < 0))
            best = type;
    }
    return best;
}

/* Write what was folded of the policy that ends here. */
static enum status write_folds(struct build *build, struct err *err)
{
    enum status status = ST_OK;
    enum result_type type;

    while (status == ST_OK && (type = next_fold(build)) != RESULT_TYPE_COUNT) {
        const struct failure_detail fold = {.result_type = type};

        status = report_add_detail(&build->writer, &fold, build->fold_sessions[type], err);
        build->fold_sessions[type] = 0;
    }
    return status;
}

static enum status fold_policy(void *context, const struct policy *policy,
                               const struct session_counts *counts, struct err *err)
{
    struct build *build = context;
    enum status status = write_folds(build, err);

    if (status == ST_OK)
        status = report_add_policy(&build->writer, policy, counts, err);
    return status;
}

/* Does a detail that lies just at the cut still fit?  The first that does not ends it for all. */
static enum status take_room(struct build *build, const struct failure_detail *detail, uint64_t sessions,
                             bool *is_kept_out, struct err *err)
{
    uint64_t before = build->measure.total_bytes;
    enum status status = report_add_detail(&build->measure, detail, sessions, err);
    uint64_t bytes = build->measure.total_bytes - before;

    *is_kept_out = bytes <= build->cut.room_bytes;
    build->cut.room_bytes = *is_kept_out ? build->cut.room_bytes - bytes : 0;
    return status;
}

static enum status fold_detail(void *context, const struct failure_detail *detail, uint64_t sessions,
                               struct err *err)
{
    struct build *build = context;
    bool is_entry = is_bare(detail);
    bool is_kept = !is_entry && sessions > build->cut.sessions;
    enum status status = ST_OK;

    if (!is_entry && sessions == build->cut.sessions && build->cut.room_bytes > 0)
        status = take_room(build, detail, sessions, &is_kept, err);
    if (status == ST_OK && is_kept)
        return report_add_detail(&build->writer, detail, sessions, err);
    build->fold_sessions[detail->result_type] += sessions;
    build->folded += is_entry ? 0 : 1;
    return status;
}

static enum status write_nothing(void *context, const char *bytes, size_t len, struct err *err)
{
    (void)context;
    (void)bytes;
    (void)len;
    (void)err;
    return ST_OK;
}

/* A measuring writer that stands within some policy, for take_room. */
static enum status ready_to_measure(struct build *build, struct err *err)
{
    static const struct report_sink NOTHING = {.write = write_nothing};
    const struct policy any = {.type = POLICY_NO_POLICY_FOUND, .domain = build->meta->domain};
    const struct session_counts none = {0};
    enum status status;

    report_done(&build->measure);
    status = report_begin(&build->measure, build->meta, &NOTHING, err);
    if (status == ST_OK)
        status = report_add_policy(&build->measure, &any, &none, err);
    return status;
}

static enum status write_folded(struct build *build, struct err *err)
{
    const struct report_visitor visitor = {fold_policy, fold_detail, build};
    enum status status = build->sink->restart(build->sink->context, err);

    if (status == ST_OK)
        status = ready_to_measure(build, err);
    if (status == ST_OK)
        status = report_begin(&build->writer, build->meta, build->sink, err);
    if (status == ST_OK)
        status = build->source->replay(build->source->context, &visitor, err);
    if (status == ST_OK)
        status = write_folds(build, err);
    if (status == ST_OK)
        status = report_end(&build->writer, err);
    return status;
}

enum status report_build(const struct report_meta *meta, uint64_t max_bytes,
                         const struct report_source *source, const struct report_sink *sink,
                         struct report_built *built_out, struct err *err)
{
    struct build build = {.meta = meta, .max_bytes = max_bytes, .source = source, .sink = sink};
    const struct report_writer *writer = &build.measure;
    enum status status = measure(&build, err);

    if (status == ST_OK && build.measure.total_bytes > max_bytes) {
        writer = &build.writer;
        find_cut(&build);
        status = write_folded(&build, err);
    }
    if (status == ST_OK) {
        *built_out = (struct report_built){.summary = writer->summary, .json_bytes = writer->total_bytes};
        built_out->summary.details = build.details;
        built_out->summary.folded = build.folded;
    }
    report_done(&build.measure);
    report_done(&build.writer);
    free(build.weights);
    return status;
}
