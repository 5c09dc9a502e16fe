/* SPDX-License-Identifier: MIT */
#include "mail_decode.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* The value of a base64 digit (RFC 4648 section 4), or -1. */
static int digit64(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    if (byte == '+')
        return 62;
    return byte == '/' ? 63 : -1;
}

static void decode_base64(const char *text, size_t len, struct strbuf *out)
{
    uint32_t bits = 0;
    unsigned count = 0; /* bits that wait */

    for (size_t i = 0; i < len && text[i] != '='; i++) {
        int digit = digit64(text[i]);

        if (digit < 0)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            strbuf_add_char(out, (char)(uint8_t)(bits >> count));
            bits &= (1U << count) - 1;
        }
    }
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The byte that two hex digits at text spell, or -1. */
static int hex_byte(const char *text, size_t len)
{
    int high = len >= 2 ? hex_digit(text[0]) : -1;
    int low = len >= 2 ? hex_digit(text[1]) : -1;

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void decode_quoted_printable(const char *text, size_t len, struct strbuf *out)
{
    for (size_t i = 0; i < len; i++) {
        int byte = text[i] == '=' ? hex_byte(text + i + 1, len - i - 1) : -1;

        if (byte >= 0) {
            strbuf_add_char(out, (char)(uint8_t)byte);
            i += 2;
        } else if (text[i] == '=' && i + 1 < len && (text[i + 1] == '\n' || text[i + 1] == '\r')) {
            i += text[i + 1] == '\r' && i + 2 < len && text[i + 2] == '\n' ? 2 : 1;
        } else {
            strbuf_add_char(out, text[i]);
        }
    }
}

void mail_decode_body(const char *encoding, const char *text, size_t len, struct strbuf *out)
{
    if (strcasecmp(encoding, "base64") == 0)
        decode_base64(text, len, out);
    else if (strcasecmp(encoding, "quoted-printable") == 0)
        decode_quoted_printable(text, len, out);
    else
        strbuf_add(out, text, len);
}

void mail_decode_percent(const char *text, struct strbuf *out)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        int byte = text[i] == '%' ? hex_byte(text + i + 1, len - i - 1) : -1;

        strbuf_add_char(out, byte >= 0 ? (char)(uint8_t)byte : text[i]);
        i += byte >= 0 ? 2 : 0;
    }
}
