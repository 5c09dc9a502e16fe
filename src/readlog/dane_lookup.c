/* SPDX-License-Identifier: MIT */
/*
 * A host is asked about when its session begins, so that the answer is mostly there when the log says how the session
 * ended.  Where it is not, reading waits, out of a budget that fills up with a tenth of the time: hosts whose name
 * servers never answer use it up, and then every host that is not known yet is "unknown", but nothing waits.
 */
#include "dane_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "log_sink.h"
#include "model/domain.h"
#include "mtalog/slots.h"
#include "resolve/resolve.h"

#define FAILED_MS   600000
#define BUDGET_PART 10
#define STEP_MS     100  /* so that a signal is seen */
#define ARENA_BYTES 8192 /* a name and the labels that it is made from */
#define PREFIX      "_25._tcp."

enum host_state {
    HOST_NEW,
    HOST_ASKED,
    HOST_DANE,
    HOST_NO_DANE,
    HOST_NOT_VALIDATED, /* an answer without AD */
    HOST_FAILED,
};

struct dane_host {
    struct session_slot slot;
    enum host_state state;
    int64_t until_ms;
};

struct dane_lookup {
    struct resolver *resolver;
    struct slots hosts;
    size_t pending;
    int64_t burst_ms, budget_ms, filled_ms;
    bool is_validating; /* an authentic answer was seen */
    struct arena arena; /* for one name */
};

static const struct resolve_limits LIMITS = {
    .in_flight = RESOLVE_IN_FLIGHT, .timeout_ms = 500, .tries = 2, .deadline_ms = 3000};

static uint64_t key_of(const struct dane_lookup *lookup, const char *name, size_t len)
{
    static const struct span NOTHING = {"", 0};

    return slots_key(&lookup->hosts, (struct span){name, len}, NOTHING, NOTHING);
}

/* ---- answers ---- */

static void on_root(void *context, const struct resolve_answer *answer)
{
    struct dane_lookup *lookup = context;

    lookup->is_validating = lookup->is_validating || answer->is_authentic;
    if (!lookup->is_validating && answer->result != RESOLVE_TEMPORARY)
        LOG_FACT(
            EV_DANE_NOT_VALIDATED,
            log_text("hint", "let resolver name a validating resolver, for example unbound on 127.0.0.1"));
}

static enum host_state state_of(const struct resolve_answer *answer)
{
    if (answer->result == RESOLVE_TEMPORARY)
        return HOST_FAILED;
    if (!answer->is_authentic)
        return HOST_NOT_VALIDATED;
    return answer->tlsa_count > 0 ? HOST_DANE : HOST_NO_DANE;
}

static void on_answer(void *context, const struct resolve_answer *answer)
{
    struct dane_lookup *lookup = context;
    const char *name = answer->name + sizeof PREFIX - 1;
    struct dane_host *host =
        (struct dane_host *)(void *)slots_find(&lookup->hosts, key_of(lookup, name, strlen(name)));

    lookup->pending--;
    lookup->is_validating = lookup->is_validating || answer->is_authentic;
    if (host == NULL) /* it had to make room */
        return;
    host->state = state_of(answer);
    host->until_ms = clock_monotonic_ms() + (host->state == HOST_FAILED ? FAILED_MS : DANE_LOOKUP_DAY_MS);
}

/* ---- questions ---- */

static void ask(struct dane_lookup *lookup, struct dane_host *host, const char *name)
{
    struct err err;

    host->state = HOST_FAILED;
    host->until_ms = clock_monotonic_ms() + FAILED_MS;
    if (resolve_add(lookup->resolver, RESOLVE_TLSA, name, on_answer, lookup, &err) != ST_OK)
        return;
    host->state = HOST_ASKED;
    lookup->pending++;
}

/* NULL: it is not known, and too many are being asked about. */
static struct dane_host *get_host(struct dane_lookup *lookup, const char *name)
{
    uint64_t key = key_of(lookup, name, strlen(name));
    struct dane_host *host = (struct dane_host *)(void *)slots_find(&lookup->hosts, key);

    if (host == NULL && lookup->pending >= DANE_LOOKUP_PENDING)
        return NULL;
    host = (struct dane_host *)(void *)slots_get(&lookup->hosts, key);
    if (host->state == HOST_NEW || (host->state != HOST_ASKED && host->until_ms < clock_monotonic_ms()))
        ask(lookup, host, name);
    return host;
}

/* ---- waiting ---- */

static void fill_budget(struct dane_lookup *lookup)
{
    int64_t now_ms = clock_monotonic_ms();

    lookup->budget_ms += (now_ms - lookup->filled_ms) / BUDGET_PART;
    lookup->filled_ms = now_ms - (now_ms - lookup->filled_ms) % BUDGET_PART;
    if (lookup->budget_ms > lookup->burst_ms)
        lookup->budget_ms = lookup->burst_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void wait_for(struct dane_lookup *lookup, const struct dane_host *host)
{
    int64_t begin_ms = clock_monotonic_ms();
    int64_t waited_ms = 0, most_ms;

    fill_budget(lookup);
    most_ms = least(lookup->budget_ms, DANE_LOOKUP_HOST_MS);
    while (host->state == HOST_ASKED && waited_ms < most_ms && !log_sink_is_stopping) {
        resolve_step(lookup->resolver, (int)least(most_ms - waited_ms, STEP_MS));
        waited_ms = clock_monotonic_ms() - begin_ms;
    }
    lookup->budget_ms -= least(waited_ms, lookup->budget_ms);
}

enum mtalog_dane dane_lookup_of(void *context, struct span mx, bool is_needed)
{
    struct dane_lookup *lookup = context;
    const char *name;
    struct dane_host *host;
    enum status status;

    arena_reset(&lookup->arena);
    status = domain_normalise(mx.at, mx.len, &lookup->arena, &name, NULL);
    if (status != ST_OK)
        return status == ST_NOMEM ? MTALOG_DANE_UNKNOWN : MTALOG_DANE_NO;
    host = get_host(lookup, name);
    if (resolve_is_busy(lookup->resolver))
        resolve_step(lookup->resolver, 0);
    if (host == NULL)
        return MTALOG_DANE_UNKNOWN;
    if (is_needed && host->state == HOST_ASKED)
        wait_for(lookup, host);
    if (host->state == HOST_DANE)
        return MTALOG_DANE_YES;
    if (host->state == HOST_NO_DANE || (host->state == HOST_NOT_VALIDATED && lookup->is_validating))
        return MTALOG_DANE_NO;
    return MTALOG_DANE_UNKNOWN;
}

/* ---- the interface ---- */

enum status dane_lookup_open(const struct option_list *servers, int64_t burst_ms,
                             struct dane_lookup **lookup_out, struct err *err)
{
    struct dane_lookup *lookup = calloc(1, sizeof *lookup);
    enum status status;

    if (lookup == NULL || !slots_init(&lookup->hosts, sizeof(struct dane_host), sizeof(struct dane_host),
                                      DANE_LOOKUP_HOSTS, NULL, lookup)) {
        dane_lookup_close(&lookup);
        return err_set(err, ST_NOMEM, "DANE lookup: out of memory");
    }
    arena_init(&lookup->arena, ARENA_BYTES);
    lookup->burst_ms = lookup->budget_ms = burst_ms;
    lookup->filled_ms = clock_monotonic_ms();
    status = resolve_open(servers->items, servers->count, &LIMITS, &lookup->resolver, err);
    if (status == ST_OK)
        status = resolve_add(lookup->resolver, RESOLVE_ROOT, "", on_root, lookup, err);
    if (status == ST_OK) {
        resolve_step(lookup->resolver, 0);
        *lookup_out = lookup;
    } else {
        dane_lookup_close(&lookup);
    }
    return status;
}

void dane_lookup_close(struct dane_lookup **lookup)
{
    if (*lookup == NULL)
        return;
    resolve_close(&(*lookup)->resolver);
    slots_done(&(*lookup)->hosts);
    arena_done(&(*lookup)->arena);
    free(*lookup);
    *lookup = NULL;
}
