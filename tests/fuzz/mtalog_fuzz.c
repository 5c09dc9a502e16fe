/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as Exim's log and as Postfix's: what is told is canonical, belongs to a day, and a reader that is
 * replaced by a fresh one in the middle tells the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "model/domain.h"
#include "model/utc_day.h"
#include "mtalog/mtalog.h"

#define NOW_S 1795290000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

struct emitted {
    bool is_silent;
    uint64_t hash;
    size_t count;
};

static void check_domain(const char *text)
{
    const char *again = NULL;
    struct arena arena;

    arena_init(&arena, 65536);
    require(domain_normalise(text, strlen(text), &arena, &again, NULL) == ST_OK && strcmp(text, again) == 0);
    arena_done(&arena);
}

static void add(struct emitted *emitted, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        require(*text >= ' ' && *text < 0x7f);
        emitted->hash = (emitted->hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    emitted->hash = (emitted->hash ^ 0x100) * UINT64_C(0x100000001b3);
}

static enum status emit(void *context, const struct session_result *result, int64_t utc_s)
{
    const struct result_policy *policy = &result->policies[0];
    struct emitted *emitted = context;

    require(result->policy_count == 1 && result->has_utc_day && result->utc_day == utc_day_of(utc_s));
    require(policy->detail_count == (policy->is_failed ? 1U : 0U));
    check_domain(result->domain);
    check_domain(policy->policy.domain);
    if (emitted->is_silent)
        return ST_OK;
    emitted->count++;
    add(emitted, result->domain);
    add(emitted, policy->policy.domain);
    if (!policy->is_failed)
        return ST_OK;
    add(emitted, result_type_name(policy->details[0].result_type));
    add(emitted, policy->details[0].receiving_mx_hostname);
    add(emitted, policy->details[0].receiving_ip);
    add(emitted, policy->details[0].sending_mta_ip);
    add(emitted, policy->details[0].failure_reason_code);
    require(policy->details[0].failure_reason_code == NULL ||
            strlen(policy->details[0].failure_reason_code) <= DETAIL_REASON_MAX);
    return ST_OK;
}

static struct mtalog *new_reader(enum mtalog_mta mta, struct emitted *emitted)
{
    static const char *const SENDERS[] = {"us@us.test"};
    const struct mtalog_settings settings = {.mta = mta,
                                             .mandatory_tls = POLICY_NO_POLICY_FOUND,
                                             .ignored_senders = SENDERS,
                                             .ignored_sender_count = 1,
                                             .open_max = 64,
                                             .on_result = emit,
                                             .context = emitted};
    struct mtalog *log = NULL;

    require(mtalog_new(&settings, &log, NULL) == ST_OK);
    mtalog_set_now(log, NOW_S);
    return log;
}

static void feed(struct mtalog *log, const char *bytes, size_t from, size_t to)
{
    while (from < to) {
        const char *newline = memchr(bytes + from, '\n', to - from);
        size_t len = newline != NULL ? (size_t)(newline - bytes) - from : to - from;

        require(mtalog_feed(log, (struct span){bytes + from, len}, from, NULL) == ST_OK);
        from += len + 1;
    }
}

static void end(struct mtalog *log)
{
    require(mtalog_flush(log, NULL) == ST_OK);
    mtalog_free(&log);
}

static void check(enum mtalog_mta mta, const char *bytes, size_t size)
{
    const char *newline = size > 0 ? memchr(bytes + size / 2, '\n', size - size / 2) : NULL;
    size_t cut = newline != NULL ? (size_t)(newline - bytes) + 1 : size;
    struct emitted whole = {.is_silent = false}, parts = {.is_silent = false};
    struct mtalog *log = new_reader(mta, &whole);
    uint64_t memory[MTALOG_MEMORY_WORDS];
    uint64_t from;

    feed(log, bytes, 0, size);
    end(log);
    log = new_reader(mta, &parts);
    feed(log, bytes, 0, cut);
    from = mtalog_replay_offset(log, cut);
    mtalog_get_memory(log, memory);
    mtalog_free(&log);
    require(from <= cut);
    log = new_reader(mta, &parts);
    mtalog_set_memory(log, memory);
    parts.is_silent = true;
    feed(log, bytes, (size_t)from, cut);
    parts.is_silent = false;
    feed(log, bytes, cut, size);
    end(log);
    require(parts.count == whole.count && parts.hash == whole.hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int is_set_up;

    if (!is_set_up)
        (void)setenv("TZ", "UTC", 1);
    is_set_up = 1;
    check(MTALOG_EXIM, (const char *)data, size);
    check(MTALOG_POSTFIX, (const char *)data, size);
    return 0;
}
