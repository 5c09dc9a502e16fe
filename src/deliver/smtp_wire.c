/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Writing: begin_frame leaves room for the length, end_frame fills it in; errors stick in the
 * strbuf.  Reading: smtp_wire_find separates one frame, then a wire_reader takes the payload's fields one by
 * one; its failure sticks, and is_done at the end also refuses bytes that are left over.
 */
#include "deliver/smtp_wire.h"

#include <string.h>

#define HEADER_BYTES 5

/* ---- writing ---- */

static void put_number(struct strbuf *out, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        strbuf_add_char(out, (char)(number >> 8 * bytes & 0xFF));
}

static void put_span(struct strbuf *out, struct span text)
{
    if (text.len > SMTP_WIRE_FRAME_MAX) {
        out->is_failed = true;
        return;
    }
    put_number(out, text.len, 4);
    strbuf_add(out, text.at, text.len);
}

/* Returns where the frame starts; end_frame fills in its length. */
static size_t begin_frame(struct strbuf *out, enum smtp_wire_type type)
{
    size_t begin = out->len;

    put_number(out, 0, 4);
    put_number(out, type, 1);
    return begin;
}

static void end_frame(struct strbuf *out, size_t begin)
{
    size_t len;

    if (out->is_failed)
        return;
    len = out->len - begin - HEADER_BYTES;
    if (len > SMTP_WIRE_FRAME_MAX) {
        out->is_failed = true;
        return;
    }
    for (unsigned i = 0; i < 4; i++)
        out->data[begin + i] = (char)(len >> 8 * (3 - i) & 0xFF);
}

void smtp_wire_put_settings(struct strbuf *out, const struct smtp_wire_settings *settings)
{
    size_t begin = begin_frame(out, SMTP_WIRE_SETTINGS);

    put_span(out, settings->host);
    put_number(out, settings->port, 2);
    put_span(out, settings->address);
    put_span(out, settings->ehlo_name);
    put_number(out, settings->tls, 1);
    put_span(out, settings->ca_file);
    put_span(out, settings->user);
    put_span(out, settings->password);
    put_number(out, settings->step_timeout_ms, 4);
    put_number(out, settings->mailing_ms, 4);
    end_frame(out, begin);
}

void smtp_wire_put_message(struct strbuf *out, const struct smtp_wire_message *message)
{
    size_t begin = begin_frame(out, SMTP_WIRE_MESSAGE);

    put_number(out, message->id, 8);
    put_span(out, message->envelope_from);
    put_span(out, message->recipient);
    put_span(out, message->bytes);
    end_frame(out, begin);
}

void smtp_wire_put_go(struct strbuf *out)
{
    end_frame(out, begin_frame(out, SMTP_WIRE_GO));
}

void smtp_wire_put_progress(struct strbuf *out, enum smtp_progress progress)
{
    size_t begin = begin_frame(out, SMTP_WIRE_PROGRESS);

    put_number(out, progress, 1);
    end_frame(out, begin);
}

void smtp_wire_put_result(struct strbuf *out, uint64_t id, const struct delivery_result *result)
{
    size_t begin = begin_frame(out, SMTP_WIRE_RESULT);

    put_number(out, id, 8);
    put_number(out, result->kind, 1);
    put_number(out, result->stage, 1);
    put_number(out, (uint64_t)result->code, 4);
    put_number(out, result->is_in_doubt, 1);
    put_span(out, (struct span){result->text, strlen(result->text)});
    end_frame(out, begin);
}

void smtp_wire_put_end(struct strbuf *out, const struct smtp_wire_end *end)
{
    size_t begin = begin_frame(out, SMTP_WIRE_END);

    put_number(out, end->stage, 1);
    put_number(out, end->code, 4);
    put_span(out, end->text);
    end_frame(out, begin);
}

/* ---- reading ---- */

static uint64_t number_at(const unsigned char *bytes, unsigned count)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

enum smtp_wire_found smtp_wire_find(const void *bytes, size_t len, enum smtp_wire_type *type_out,
                                    struct span *payload_out, size_t *used_out)
{
    const unsigned char *at = bytes;
    size_t payload_len;

    if (len < HEADER_BYTES)
        return SMTP_WIRE_MORE;
    payload_len = (size_t)number_at(at, 4);
    if (payload_len > SMTP_WIRE_FRAME_MAX || at[4] == '\0' || strchr("SMGPOE", at[4]) == NULL)
        return SMTP_WIRE_BROKEN;
    if (len - HEADER_BYTES < payload_len)
        return SMTP_WIRE_MORE;
    *type_out = (enum smtp_wire_type)at[4];
    *payload_out = (struct span){(const char *)bytes + HEADER_BYTES, payload_len};
    *used_out = HEADER_BYTES + payload_len;
    return SMTP_WIRE_FRAME;
}

/* A payload being read; after a failure every field is 0 or empty. */
struct wire_reader {
    struct span rest;
    bool is_failed;
};

static uint64_t take_number(struct wire_reader *reader, unsigned bytes)
{
    uint64_t number;

    if (reader->is_failed || reader->rest.len < bytes) {
        reader->is_failed = true;
        return 0;
    }
    number = number_at((const unsigned char *)reader->rest.at, bytes);
    reader->rest.at += bytes;
    reader->rest.len -= bytes;
    return number;
}

/* A number below limit. */
static unsigned take_choice(struct wire_reader *reader, unsigned limit)
{
    uint64_t number = take_number(reader, 1);

    if (number >= limit)
        reader->is_failed = true;
    return reader->is_failed ? 0 : (unsigned)number;
}

static struct span take_span(struct wire_reader *reader)
{
    struct span span = {"", 0};
    uint64_t len = take_number(reader, 4);

    if (reader->is_failed || len > reader->rest.len) {
        reader->is_failed = true;
        return span;
    }
    span = (struct span){reader->rest.at, (size_t)len};
    reader->rest.at += len;
    reader->rest.len -= (size_t)len;
    return span;
}

static bool is_done(const struct wire_reader *reader)
{
    return !reader->is_failed && reader->rest.len == 0;
}

bool smtp_wire_read_settings(struct span payload, struct smtp_wire_settings *settings_out)
{
    struct wire_reader reader = {.rest = payload};
    struct smtp_wire_settings read;

    read.host = take_span(&reader);
    read.port = (uint16_t)take_number(&reader, 2);
    read.address = take_span(&reader);
    read.ehlo_name = take_span(&reader);
    read.tls = (enum smtp_tls)take_choice(&reader, SMTP_TLS_COUNT);
    read.ca_file = take_span(&reader);
    read.user = take_span(&reader);
    read.password = take_span(&reader);
    read.step_timeout_ms = (uint32_t)take_number(&reader, 4);
    read.mailing_ms = (uint32_t)take_number(&reader, 4);
    if (!is_done(&reader))
        return false;
    *settings_out = read;
    return true;
}

bool smtp_wire_read_message(struct span payload, struct smtp_wire_message *message_out)
{
    struct wire_reader reader = {.rest = payload};
    struct smtp_wire_message read;

    read.id = take_number(&reader, 8);
    read.envelope_from = take_span(&reader);
    read.recipient = take_span(&reader);
    read.bytes = take_span(&reader);
    if (!is_done(&reader))
        return false;
    *message_out = read;
    return true;
}

bool smtp_wire_read_progress(struct span payload, enum smtp_progress *progress_out)
{
    struct wire_reader reader = {.rest = payload};
    enum smtp_progress read = (enum smtp_progress)take_choice(&reader, SMTP_PROGRESS_COUNT);

    if (!is_done(&reader))
        return false;
    *progress_out = read;
    return true;
}

bool smtp_wire_read_result(struct span payload, struct smtp_wire_result *result_out)
{
    struct wire_reader reader = {.rest = payload};
    uint64_t id = take_number(&reader, 8);
    enum delivery_result_kind kind =
        (enum delivery_result_kind)take_choice(&reader, DELIVERY_RESULT_GIVE_UP + 1);
    enum delivery_stage stage = (enum delivery_stage)take_choice(&reader, DELIVERY_STAGE_COUNT);
    int code = (int)(take_number(&reader, 4) % 1000);
    bool is_in_doubt = take_choice(&reader, 2) == 1;
    struct span text = take_span(&reader);

    if (!is_done(&reader))
        return false;
    if (text.len >= DELIVERY_RESULT_TEXT_MAX)
        text.len = DELIVERY_RESULT_TEXT_MAX - 1;
    delivery_result_set(&result_out->result, kind, stage, code, "%.*s", (int)text.len, text.at);
    result_out->result.is_in_doubt = is_in_doubt;
    result_out->id = id;
    return true;
}

bool smtp_wire_read_end(struct span payload, struct smtp_wire_end *end_out)
{
    struct wire_reader reader = {.rest = payload};
    struct smtp_wire_end read;

    read.stage = (enum delivery_stage)take_choice(&reader, DELIVERY_STAGE_COUNT);
    read.code = (uint32_t)take_number(&reader, 4) % 1000;
    read.text = take_span(&reader);
    if (!is_done(&reader))
        return false;
    *end_out = read;
    return true;
}
