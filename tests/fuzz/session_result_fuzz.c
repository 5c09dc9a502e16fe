/* SPDX-License-Identifier: MIT */
/*
 * The round trip: an event made of the input's pieces by the functions that make texts canonical, encoded,
 * decoded, equal.  Pieces are what stands between newlines; the first byte of each says what it becomes.
 */
#include "base/cursor.h"
#include "model/detail_text.h"
#include "model/domain.h"
#include "model/utc_day.h"
#include "round_trip.h"

#define ARENA_BYTES  (4 * 1024 * 1024)
#define POLICIES_MAX 4
#define DETAILS_MAX  8
#define ITEMS_MAX    16
#define LAST_UTC_DAY 36524 /* 2069-12-31 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct maker {
    struct cursor cursor;
    struct arena arena;
};

static struct span next_piece(struct maker *maker)
{
    struct span piece = cursor_take_until(&maker->cursor, "\n");

    (void)cursor_skip_word(&maker->cursor, "\n");
    return piece;
}

static unsigned next_number(struct maker *maker)
{
    return cursor_at_end(&maker->cursor) ? 0 : (unsigned char)cursor_take_byte(&maker->cursor);
}

static const char *next_domain(struct maker *maker, const char *otherwise)
{
    struct span piece = next_piece(maker);
    const char *domain;

    return domain_normalise(piece.at, piece.len, &maker->arena, &domain, NULL) == ST_OK ? domain : otherwise;
}

/* Texts inside a program are valid UTF-8 without NUL by the time they are made canonical. */
static const char *next_text(struct maker *maker,
                             enum status (*clean)(struct span, struct arena *, const char **))
{
    struct span piece = next_piece(maker);
    const char *text;

    return utf8_is_valid(piece.at, piece.len) && clean(piece, &maker->arena, &text) == ST_OK ? text : NULL;
}

static enum status clean_pattern(struct span text, struct arena *arena, const char **text_out)
{
    return domain_pattern_normalise(text.at, text.len, arena, text_out, NULL);
}

static struct text_list next_list(struct maker *maker,
                                  enum status (*clean)(struct span, struct arena *, const char **))
{
    size_t count = next_number(maker) % ITEMS_MAX;
    struct text_list list = {arena_alloc_array(&maker->arena, ITEMS_MAX, sizeof list.items[0]), 0};

    for (size_t i = 0; list.items != NULL && i < count; i++) {
        const char *item = next_text(maker, clean);

        if (item != NULL)
            list.items[list.count++] = item;
    }
    return list;
}

static void make_detail(struct maker *maker, struct failure_detail *detail)
{
    detail->result_type = (enum result_type)(next_number(maker) % RESULT_TYPE_COUNT);
    detail->sending_mta_ip = next_text(maker, detail_text_address);
    detail->receiving_mx_hostname = next_domain(maker, NULL);
    detail->receiving_mx_helo = next_text(maker, detail_text_helo_host);
    detail->receiving_ip = next_text(maker, detail_text_address);
    detail->additional_information = next_text(maker, detail_text_uri);
    detail->failure_reason_code = next_text(maker, detail_text_reason);
}

static void make_policy(struct maker *maker, const char *domain, struct result_policy *out)
{
    out->policy.type = (enum policy_type)(next_number(maker) % POLICY_TYPE_COUNT);
    out->policy.domain = next_domain(maker, domain);
    if (out->policy.type == POLICY_TLSA) {
        out->policy.strings = next_list(maker, detail_text_tlsa);
        detail_text_sort_unique(&out->policy.strings);
    } else if (out->policy.type == POLICY_STS) {
        out->policy.strings = next_list(maker, detail_text_policy_line);
        out->policy.mx_hosts = next_list(maker, clean_pattern);
    }
    out->is_failed = next_number(maker) % 2 == 1;
    out->details = arena_alloc_array(&maker->arena, DETAILS_MAX, sizeof out->details[0]);
    require(out->details != NULL);
    out->detail_count = next_number(maker) % DETAILS_MAX;
    for (size_t i = 0; i < out->detail_count; i++)
        make_detail(maker, &out->details[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result_policy policies[POLICIES_MAX] = {0};
    struct session_result result = {.policies = policies};
    struct maker maker;

    arena_init(&maker.arena, ARENA_BYTES);
    cursor_init(&maker.cursor, (const char *)data, size);
    result.domain = next_domain(&maker, "north.example");
    result.record = next_text(&maker, detail_text_record);
    result.has_utc_day = next_number(&maker) % 2 == 1;
    if (result.has_utc_day)
        result.utc_day = (int32_t)((next_number(&maker) << 8 | next_number(&maker)) % LAST_UTC_DAY);
    result.policy_count = 1 + next_number(&maker) % POLICIES_MAX;
    for (size_t i = 0; i < result.policy_count; i++)
        make_policy(&maker, result.domain, &policies[i]);
    require_round_trip(&result);
    arena_done(&maker.arena);
    return 0;
}
