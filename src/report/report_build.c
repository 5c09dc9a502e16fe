/* SPDX-License-Identifier: MIT */
/*
 * 1. Write the report as if it fitted, and measure each detail on the way.  If it fits, that was all.
 * 2. Else find the cut: how often a detail must have occurred to be kept.  Bytes are summed in a histogram
 *    over the number of sessions; small numbers have a bucket each, large ones share.  While the cut lies in
 *    a shared bucket, replay and look at that bucket alone.
 * 3. Replay once more, write what lies above the cut, sum up what lies below.
 */
#include "report/report_build.h"

#include <stdbool.h>
#include <string.h>

#define EXACT_BUCKETS     32 /* offsets below this have a bucket each */
#define STEPS_PER_OCTAVE  16
#define BUCKET_COUNT      (EXACT_BUCKETS + (64 - 5) * STEPS_PER_OCTAVE)
#define FOLD_ENTRY_BYTES  88 /* at most, for one entry of a type and a count */
#define FOLD_POLICY_BYTES 24 /* the array around them */

/* What to keep: details of more than sessions, and of exactly sessions while their bytes fit in room. */
struct cut {
    uint64_t sessions;
    uint64_t room_bytes;
};

/* The sessions numbers low <= n < high; high 0 means 2^64. */
struct range {
    uint64_t low;
    uint64_t high;
};

struct build {
    const struct report_meta *meta;
    uint64_t max_bytes;
    const struct report_source *source;
    const struct report_sink *sink;

    /* measuring */
    struct report_writer measure;
    bool is_muted; /* passed max_bytes: nothing more goes to the sink */
    struct range range;
    uint64_t bucket_bytes[BUCKET_COUNT];
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

/* ---- the histogram ---- */

static size_t bucket_of(uint64_t offset)
{
    int top;

    if (offset < EXACT_BUCKETS)
        return (size_t)offset;
    top = 63 - __builtin_clzll(offset); /* at least 5 */
    return EXACT_BUCKETS + (size_t)(top - 5) * STEPS_PER_OCTAVE + ((offset >> (top - 4)) & 15);
}

/* The smallest offset of a bucket; 0 (that is 2^64) for the one past the last. */
static uint64_t bucket_low(size_t bucket)
{
    size_t octave;

    if (bucket < EXACT_BUCKETS)
        return bucket;
    octave = (bucket - EXACT_BUCKETS) / STEPS_PER_OCTAVE;
    return octave + 1 < 64 - 4 ? (16 + (uint64_t)(bucket - EXACT_BUCKETS) % STEPS_PER_OCTAVE) << (octave + 1)
                               : 0;
}

static bool is_in_range(const struct range *range, uint64_t sessions)
{
    return sessions >= range->low && (range->high == 0 || sessions < range->high);
}

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
    if (is_in_range(&build->range, sessions))
        build->bucket_bytes[bucket_of(sessions - build->range.low)] += bytes;
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

static const struct report_sink NOTHING = {.write = write_nothing};

/* Replay everything into the measuring writer; its bytes go to sink. */
static enum status measure(struct build *build, const struct report_sink *sink, struct err *err)
{
    const struct report_visitor visitor = {measure_policy, measure_detail, build};
    enum status status;

    memset(build->bucket_bytes, 0, sizeof build->bucket_bytes);
    build->detail_bytes = build->fold_bytes = build->details = 0;
    report_done(&build->measure);
    status = report_begin(&build->measure, build->meta, sink, err);
    if (status == ST_OK)
        status = build->source->replay(build->source->context, &visitor, err);
    reserve_fold_bytes(build);
    if (status == ST_OK)
        status = report_end(&build->measure, err);
    return status;
}

/* ---- finding the cut ---- */

/* The bucket of the current range in which *room_bytes runs out; SIZE_MAX if all of them fit. */
static size_t find_full_bucket(const struct build *build, uint64_t *room_bytes)
{
    for (size_t bucket = BUCKET_COUNT; bucket-- > 0;) {
        if (build->bucket_bytes[bucket] > *room_bytes)
            return bucket;
        *room_bytes -= build->bucket_bytes[bucket];
    }
    return SIZE_MAX;
}

static enum status find_cut(struct build *build, struct err *err)
{
    uint64_t fixed = build->measure.total_bytes - build->detail_bytes + build->fold_bytes;
    uint64_t room = build->max_bytes > fixed ? build->max_bytes - fixed : 0;
    enum status status;
    size_t bucket;

    while ((bucket = find_full_bucket(build, &room)) != SIZE_MAX) {
        uint64_t low = build->range.low;

        build->range.low = low + bucket_low(bucket);
        build->range.high = low + bucket_low(bucket + 1);
        if (build->range.high - build->range.low == 1) {
            build->cut = (struct cut){build->range.low, room};
            return ST_OK;
        }
        status = measure(build, &NOTHING, err);
        if (status != ST_OK)
            return status;
    }
    build->cut = (struct cut){0, 0};
    return ST_OK;
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

/* A measuring writer that stands within some policy, for take_room. */
static enum status ready_to_measure(struct build *build, struct err *err)
{
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
    const struct report_sink limited = {.write = write_limited, .context = &build};
    const struct report_writer *writer = &build.measure;
    enum status status = measure(&build, &limited, err);
    uint64_t details = build.details;

    if (status == ST_OK && build.measure.total_bytes > max_bytes) {
        writer = &build.writer;
        status = find_cut(&build, err);
        if (status == ST_OK)
            status = write_folded(&build, err);
    }
    if (status == ST_OK) {
        *built_out = (struct report_built){.summary = writer->summary, .json_bytes = writer->total_bytes};
        built_out->summary.details = details;
        built_out->summary.folded = build.folded;
    }
    report_done(&build.measure);
    report_done(&build.writer);
    return status;
}
