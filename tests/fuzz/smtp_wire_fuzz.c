/* SPDX-License-Identifier: MIT */
/* A stream of frames between tlsrpt-gen and its SMTP worker: what is read writes back as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/smtp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

/* The frame of this payload again, into out; false if the payload is not one. */
static bool write_again(enum smtp_wire_type type, struct span payload, struct strbuf *out)
{
    struct smtp_wire_settings settings;
    struct smtp_wire_message message;
    struct smtp_wire_result result;
    enum smtp_progress progress;
    struct smtp_wire_end end;

    switch (type) {
    case SMTP_WIRE_SETTINGS:
        if (!smtp_wire_read_settings(payload, &settings))
            return false;
        smtp_wire_put_settings(out, &settings);
        return true;
    case SMTP_WIRE_MESSAGE:
        if (!smtp_wire_read_message(payload, &message))
            return false;
        smtp_wire_put_message(out, &message);
        return true;
    case SMTP_WIRE_PROGRESS:
        if (!smtp_wire_read_progress(payload, &progress))
            return false;
        smtp_wire_put_progress(out, progress);
        return true;
    case SMTP_WIRE_RESULT:
        if (!smtp_wire_read_result(payload, &result))
            return false;
        smtp_wire_put_result(out, result.id, &result.result);
        return true;
    case SMTP_WIRE_END:
        if (!smtp_wire_read_end(payload, &end))
            return false;
        smtp_wire_put_end(out, &end);
        return true;
    case SMTP_WIRE_GO:
        break;
    }
    return false;
}

/* Codes and texts are made harmless when they are read, so only the second writing must equal the first. */
static void check_frame(enum smtp_wire_type type, struct span payload)
{
    struct strbuf first, second;
    enum smtp_wire_type type_again;
    struct span payload_again;
    size_t used;

    strbuf_init(&first, 1 << 20);
    strbuf_init(&second, 1 << 20);
    if (write_again(type, payload, &first)) {
        require(!strbuf_is_failed(&first));
        require(smtp_wire_find(first.data, first.len, &type_again, &payload_again, &used) == SMTP_WIRE_FRAME);
        require(used == first.len && type_again == type);
        require(write_again(type, payload_again, &second));
        require(second.len == first.len && memcmp(second.data, first.data, first.len) == 0);
    }
    strbuf_done(&first);
    strbuf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;

    if (size > 1 << 19)
        return 0;
    for (;;) {
        enum smtp_wire_type type;
        struct span payload;
        size_t used;

        if (smtp_wire_find(data + at, size - at, &type, &payload, &used) != SMTP_WIRE_FRAME)
            return 0;
        check_frame(type, payload);
        at += used;
    }
}
