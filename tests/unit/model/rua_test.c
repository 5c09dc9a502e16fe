/* SPDX-License-Identifier: MIT */
/* Report destinations: what is kept, in which form, and why the rest is refused (R9 to R11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/rua.h"

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16

struct good_row {
    const char *what;
    const char *uri;
    const char *want_uri;
    const char *want_address; /* mailto, or NULL */
    const char *want_host;    /* https, or NULL */
    unsigned want_port;
};

static const struct good_row GOOD[] = {
    {"plain address", "mailto:tls@north.example", "mailto:tls@north.example", "tls@north.example", NULL, 0},
    {"scheme without case (R11)", "MailTo:tls@north.example", "mailto:tls@north.example", "tls@north.example",
     NULL, 0},
    {"domain folded, local part kept", "mailto:TLS@North.EXAMPLE", "mailto:TLS@north.example",
     "TLS@north.example", NULL, 0},
    {"final dot of the domain dropped", "mailto:a@b.example.", "mailto:a@b.example", "a@b.example", NULL, 0},
    {"header fields dropped", "mailto:a@b.example?subject=x&bcc=v@w.example", "mailto:a@b.example",
     "a@b.example", NULL, 0},
    {"fragment dropped", "mailto:a@b.example#top", "mailto:a@b.example", "a@b.example", NULL, 0},
    {"'+' both ways is one address", "mailto:a%2Bc@b.example", "mailto:a+c@b.example", "a+c@b.example", NULL,
     0},
    {"'@' may be encoded too", "mailto:a%40b.example", "mailto:a@b.example", "a@b.example", NULL, 0},
    {"encoded '!' stays encoded in the URI (R9)", "mailto:a%21c@b.example", "mailto:a%21c@b.example",
     "a!c@b.example", NULL, 0},
    {"all of atext", "mailto:%23$%25%26'*+-%2F%3D%3F%5E_%60%7B%7C%7D~@b.example",
     "mailto:%23$%25%26'*+-%2F%3D%3F%5E_%60%7B%7C%7D~@b.example", "#$%&'*+-/=?^_`{|}~@b.example", NULL, 0},
    {"quotes that are not needed go", "mailto:%22tls%22@b.example", "mailto:tls@b.example", "tls@b.example",
     NULL, 0},
    {"quotes that are needed stay (RFC 6068 6.1)", "mailto:%22not%40me%22@b.example",
     "mailto:%22not%40me%22@b.example", "\"not@me\"@b.example", NULL, 0},
    {"quoted backslash (RFC 6068 6.1)", "mailto:%22oh%5C%5Cno%22@b.example",
     "mailto:%22oh%5C%5Cno%22@b.example", "\"oh\\\\no\"@b.example", NULL, 0},
    {"quoted pair of a blank becomes the blank", "mailto:%22it's%5C%20ugly%22@b.example",
     "mailto:%22it's%20ugly%22@b.example", "\"it's ugly\"@b.example", NULL, 0},
    {"comma inside quotes", "mailto:%22a%2Cb%22@b.example", "mailto:%22a%2Cb%22@b.example",
     "\"a,b\"@b.example", NULL, 0},
    {"non-ASCII domain becomes A-labels", "mailto:a@b%C3%BCcher.example", "mailto:a@xn--bcher-kva.example",
     "a@xn--bcher-kva.example", NULL, 0},
    {"A-labels stay", "mailto:a@xn--bcher-kva.example", "mailto:a@xn--bcher-kva.example",
     "a@xn--bcher-kva.example", NULL, 0},
    {"a local name inside a public one", "mailto:a@printer.local.example", "mailto:a@printer.local.example",
     "a@printer.local.example", NULL, 0},
    {"a domain that ends like a local name", "mailto:a@b.mylan", "mailto:a@b.mylan", "a@b.mylan", NULL, 0},
    {"local part of 64 bytes", "mailto:" A64 "@b.example", "mailto:" A64 "@b.example", A64 "@b.example", NULL,
     0},

    {"path and query as they are", "https://in.north.example/v1?k=7&z=9",
     "https://in.north.example/v1?k=7&z=9", NULL, "in.north.example", 443},
    {"no path", "https://in.north.example", "https://in.north.example/", NULL, "in.north.example", 443},
    {"query without path", "https://in.north.example?k=7", "https://in.north.example/?k=7", NULL,
     "in.north.example", 443},
    {"scheme and host without case", "HTTPS://In.North.Example/Path", "https://in.north.example/Path", NULL,
     "in.north.example", 443},
    {"escapes of '!', ',' and ';' stay (R9)", "https://in.north.example/a%21b%2Cc%3Bd?%2c",
     "https://in.north.example/a%21b%2Cc%3Bd?%2c", NULL, "in.north.example", 443},
    {"encoded brackets stay", "https://in.north.example/%5B1-9%5D", "https://in.north.example/%5B1-9%5D",
     NULL, "in.north.example", 443},
    {"fragment dropped", "https://in.north.example/r#x?y", "https://in.north.example/r", NULL,
     "in.north.example", 443},
    {"another port", "https://in.north.example:8443/r", "https://in.north.example:8443/r", NULL,
     "in.north.example", 8443},
    {"the default port is left out", "https://in.north.example:443/r", "https://in.north.example/r", NULL,
     "in.north.example", 443},
    {"an empty port is the default one (RFC 3986 3.2.3)", "https://in.north.example:/r",
     "https://in.north.example/r", NULL, "in.north.example", 443},
    {"final dot of the host dropped", "https://in.north.example./r", "https://in.north.example/r", NULL,
     "in.north.example", 443},
    {"encoded host", "https://b%C3%BCcher.example/r", "https://xn--bcher-kva.example/r", NULL,
     "xn--bcher-kva.example", 443},
    {"IPv4 host", "https://192.0.2.7/r", "https://192.0.2.7/r", NULL, "192.0.2.7", 443},
    {"IPv6 host", "https://[2001:DB8:0::7]:8443/r", "https://[2001:db8::7]:8443/r", NULL, "2001:db8::7",
     8443},
    {"mapped IPv6 host is the IPv4 one", "https://[::ffff:10.0.0.1]/r", "https://10.0.0.1/r", NULL,
     "10.0.0.1", 443},
    {"'@' in the path is no user name", "https://in.north.example/a@b", "https://in.north.example/a@b", NULL,
     "in.north.example", 443},
    {"colon in the path is no port", "https://in.north.example/a:b", "https://in.north.example/a:b", NULL,
     "in.north.example", 443},
};

struct bad_row {
    const char *what;
    const char *uri;
    enum rua_fault want;
};

static const struct bad_row BAD[] = {
    {"nothing", "", RUA_FAULT_EMPTY},
    {"a blank in front", " mailto:a@b.example", RUA_FAULT_LEADING_BLANK},
    {"mailto: missing", "tls@north.example", RUA_FAULT_NO_MAILTO},
    {"a word", "reports", RUA_FAULT_NO_SCHEME},
    {"a host", "in.north.example/tls", RUA_FAULT_NO_SCHEME},
    {"http", "http://in.north.example/r", RUA_FAULT_HTTP},
    {"ftp", "ftp://in.north.example/r", RUA_FAULT_OTHER_SCHEME},
    {"misspelt scheme", "mail:a@b.example", RUA_FAULT_OTHER_SCHEME},
    {"a quote in front", "\"mailto:a@b.example", RUA_FAULT_NO_SCHEME},

    {"DMARC's size suffix (R9)", "mailto:a@b.example!10m", RUA_FAULT_EXCLAMATION},
    {"backslash", "mailto:a@b.example\\", RUA_FAULT_BACKSLASH},
    {"raw comma (R9)", "https://b.example/a,b", RUA_FAULT_BYTE},
    {"raw semicolon (R9)", "mailto:a@b.example;x", RUA_FAULT_BYTE},
    {"raw non-ASCII", "mailto:a@b\xC3\xBC.example", RUA_FAULT_BYTE},
    {"raw blank", "mailto:a@b.example x", RUA_FAULT_BYTE},
    {"raw LF", "https://b.example/\nHost:x", RUA_FAULT_BYTE},
    {"angle brackets", "mailto:<a@b.example>", RUA_FAULT_BYTE},
    {"half an escape", "mailto:a%2@b.example", RUA_FAULT_PERCENT},
    {"an escape cut off", "https://b.example/%4", RUA_FAULT_PERCENT},
    {"bad byte in the dropped header fields", "mailto:a@b.example?subject=a b", RUA_FAULT_BYTE},
    {"two fragments", "mailto:a@b.example#x#y", RUA_FAULT_BYTE},

    {"no address", "mailto:", RUA_FAULT_NO_ADDRESS},
    {"no domain", "mailto:a@", RUA_FAULT_NO_ADDRESS},
    {"no local part", "mailto:@b.example", RUA_FAULT_NO_ADDRESS},
    {"no '@'", "mailto:a.b.example", RUA_FAULT_NO_ADDRESS},
    {"address only in to=", "mailto:?to=a@b.example", RUA_FAULT_NO_ADDRESS},
    {"mailto with slashes", "mailto://a@b.example", RUA_FAULT_MAILTO_SLASH},
    {"CR LF and a header", "mailto:a@b.example%0D%0ABcc:v@w.example", RUA_FAULT_CONTROL},
    {"NUL", "mailto:a%00@b.example", RUA_FAULT_CONTROL},
    {"NUL behind the domain", "mailto:a@b.example%00", RUA_FAULT_CONTROL},
    {"DEL", "mailto:a%7F@b.example", RUA_FAULT_CONTROL},
    {"tab", "mailto:%22a%09b%22@b.example", RUA_FAULT_CONTROL},
    {"invalid UTF-8", "mailto:a@b%FF.example", RUA_FAULT_UTF8},
    {"a surrogate", "mailto:a@b%ED%A0%80.example", RUA_FAULT_UTF8},
    {"two addresses", "mailto:a@b.example%2Cc@d.example", RUA_FAULT_SEVERAL},
    {"two '@'", "mailto:a@b@c.example", RUA_FAULT_SEVERAL},
    {"display name", "mailto:Team%20%3Ca@b.example%3E", RUA_FAULT_DISPLAY_NAME},
    {"comment", "mailto:a(x)@b.example", RUA_FAULT_COMMENT},
    {"comment behind the domain", "mailto:a@b.example(x)", RUA_FAULT_COMMENT},
    {"dot in front", "mailto:.a@b.example", RUA_FAULT_LOCAL_PART},
    {"two dots", "mailto:a..c@b.example", RUA_FAULT_LOCAL_PART},
    {"dot behind", "mailto:a.@b.example", RUA_FAULT_LOCAL_PART},
    {"colon", "mailto:mailto:a@b.example", RUA_FAULT_LOCAL_PART},
    {"quote without an end", "mailto:%22a@b.example", RUA_FAULT_LOCAL_PART},
    {"backslash without a byte", "mailto:%22a%5C", RUA_FAULT_LOCAL_PART},
    {"empty quotes", "mailto:%22%22@b.example", RUA_FAULT_LOCAL_PART},
    {"text behind quotes", "mailto:%22a%22x@b.example", RUA_FAULT_NO_ADDRESS},
    {"non-ASCII local part", "mailto:m%C3%BCller@b.example", RUA_FAULT_LOCAL_PART_NON_ASCII},
    {"non-ASCII in quotes", "mailto:%22m%C3%BC%22@b.example", RUA_FAULT_LOCAL_PART_NON_ASCII},
    {"local part of 65 bytes", "mailto:" A64 "a@b.example", RUA_FAULT_LOCAL_PART_LENGTH},
    {"quoted local part too long", "mailto:%22" A64 "%20%22@b.example", RUA_FAULT_LOCAL_PART_LENGTH},
    {"address of 255 bytes",
     "mailto:" A64 "@" A16 A16 A16 "." A16 A16 A16 "." A16 A16 A16 "." A16 A16 "aaa.example",
     RUA_FAULT_ADDRESS_LENGTH},
    {"address literal", "mailto:a@%5B192.0.2.1%5D", RUA_FAULT_ADDRESS_LITERAL},
    {"raw address literal", "mailto:a@[192.0.2.1]", RUA_FAULT_BRACKET},
    {"bare address", "mailto:a@192.0.2.1", RUA_FAULT_DOMAIN},
    {"empty label", "mailto:a@b..example", RUA_FAULT_DOMAIN},
    {"blank in the domain", "mailto:a@b%20.example", RUA_FAULT_DOMAIN},
    {"local mailbox", "mailto:root@localhost", RUA_FAULT_DOMAIN_SINGLE_LABEL},
    {"a host without a domain", "mailto:tls@printer", RUA_FAULT_DOMAIN_SINGLE_LABEL},
    {"this host, as many systems name it", "mailto:root@localhost.localdomain", RUA_FAULT_DOMAIN_LOCAL},
    {"localhost (RFC 6761)", "mailto:root@mail.localhost", RUA_FAULT_DOMAIN_LOCAL},
    {"multicast DNS (RFC 6762)", "mailto:x@printer.local", RUA_FAULT_DOMAIN_LOCAL},
    {"in capital letters, with a final dot", "mailto:x@Printer.LOCAL.", RUA_FAULT_DOMAIN_LOCAL},
    {"encoded", "mailto:x@printer%2Eloc%61l", RUA_FAULT_DOMAIN_LOCAL},
    {"a private network", "mailto:x@mail.corp", RUA_FAULT_DOMAIN_LOCAL},
    {"reserved for private use", "mailto:x@mail.internal", RUA_FAULT_DOMAIN_LOCAL},
    {"a home network (RFC 8375)", "mailto:x@home.arpa", RUA_FAULT_DOMAIN_LOCAL},
    {"a host in a home network (RFC 8375)", "mailto:x@mail.home.arpa", RUA_FAULT_DOMAIN_LOCAL},
    {"Tor (RFC 7686)", "mailto:x@abc.onion", RUA_FAULT_DOMAIN_LOCAL},

    {"no slashes", "https:b.example/r", RUA_FAULT_NO_AUTHORITY},
    {"one slash", "https:/b.example/r", RUA_FAULT_NO_AUTHORITY},
    {"three slashes", "https:///r", RUA_FAULT_NO_AUTHORITY},
    {"no host but a port", "https://:443/r", RUA_FAULT_NO_AUTHORITY},
    {"user name", "https://me@b.example/r", RUA_FAULT_USERINFO},
    {"user name and password", "https://me:pw@b.example/r", RUA_FAULT_USERINFO},
    {"curl's range (R60)", "https://b.example/r/[1-5000]", RUA_FAULT_BRACKET},
    {"curl's set (R60)", "https://b.example/{a}", RUA_FAULT_BRACKET},
    {"brackets in the query", "https://b.example/r?[1-9]", RUA_FAULT_BRACKET},
    {"brackets in the host", "https://b[1-9].example/r", RUA_FAULT_BRACKET},
    {"'!' in the path", "https://b.example/r!x", RUA_FAULT_EXCLAMATION},
    {"two fragments in a URL", "https://b.example/#a#b", RUA_FAULT_BYTE},
    {"bad host", "https://b_-.example-/r", RUA_FAULT_HOST},
    {"host with an encoded blank", "https://b%20c.example/r", RUA_FAULT_HOST},
    {"host with an encoded slash", "https://b%2F.example/r", RUA_FAULT_HOST},
    {"host with an encoded NUL", "https://b%00.example/r", RUA_FAULT_HOST},
    {"IPv4 in brackets", "https://[192.0.2.1]/r", RUA_FAULT_HOST},
    {"IPv6 without brackets, its colons encoded", "https://%3A%3A1/r", RUA_FAULT_HOST},
    {"mapped IPv4 without brackets", "https://%3A%3Affff%3A192.0.2.1/r", RUA_FAULT_HOST},
    {"label that begins with '-' before it is encoded", "https://-b%C3%BCcher.example/r", RUA_FAULT_HOST},
    {"IPv6 with a zone", "https://[fe80::1%25eth0]/r", RUA_FAULT_HOST},
    {"IPvFuture", "https://[v1.x:y]/r", RUA_FAULT_HOST},
    {"bracket without an end", "https://[2001:db8::1/r", RUA_FAULT_HOST},
    {"short IPv4", "https://127.1/r", RUA_FAULT_HOST},
    {"IPv4 as one number", "https://2130706433/r", RUA_FAULT_HOST},
    {"IPv4 as hexadecimal number", "https://0x7f000001/r", RUA_FAULT_HOST},
    {"IPv4 with a hexadecimal part", "https://127.0.0.0x1/r", RUA_FAULT_HOST},
    {"IPv4 with leading zeros", "https://0177.0.0.01/r", RUA_FAULT_HOST},
    {"port 0", "https://b.example:0/r", RUA_FAULT_PORT},
    {"port 65536", "https://b.example:65536/r", RUA_FAULT_PORT},
    {"port with a sign", "https://b.example:+1/r", RUA_FAULT_PORT},
    {"two ports", "https://b.example:1:2/r", RUA_FAULT_PORT},
    {"text behind an IPv6 host", "https://[2001:db8::1]x/r", RUA_FAULT_PORT},
};

static void check_same(const char *what, const char *field, const char *got, const char *want)
{
    if (want == NULL ? got != NULL : got == NULL || strcmp(got, want) != 0)
        fail_msg("%s: %s: got %s, want %s", what, field, got != NULL ? got : "NULL",
                 want != NULL ? want : "NULL");
}

static void check_good(const struct good_row *row, const char *uri)
{
    struct arena arena;
    enum rua_fault fault;
    struct rua got;

    arena_init(&arena, 65536);
    fault = rua_read(uri, strlen(uri), &arena, &got);
    if (fault != RUA_FAULT_NONE)
        fail_msg("%s: %s: %s", row->what, uri, rua_fault_words(fault));
    check_same(row->what, "uri", got.uri, row->want_uri);
    check_same(row->what, "address", got.address, row->want_address);
    check_same(row->what, "host", got.host, row->want_host);
    assert_int_equal(got.kind, row->want_address != NULL ? RUA_MAILTO : RUA_HTTPS);
    assert_int_equal(got.port, row->want_port);
    if (got.kind == RUA_HTTPS)
        assert_string_equal(got.target, strchr(got.uri + strlen("https://"), '/'));
    arena_done(&arena);
}

static void test_good_uris(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(GOOD); i++)
        check_good(&GOOD[i], GOOD[i].uri);
}

static void test_normal_form_reads_back_as_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(GOOD); i++)
        check_good(&GOOD[i], GOOD[i].want_uri);
}

static void test_bad_uris(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        const struct bad_row *row = &BAD[i];
        struct rua untouched = {.port = 7};
        struct arena arena;
        enum rua_fault got;

        arena_init(&arena, 65536);
        got = rua_read(row->uri, strlen(row->uri), &arena, &untouched);
        if (got != row->want)
            fail_msg("%s: %s: got \"%s\", want \"%s\"", row->what, row->uri, rua_fault_words(got),
                     rua_fault_words(row->want));
        assert_int_equal(untouched.port, 7);
        arena_done(&arena);
    }
}

static void test_pieces(void **state)
{
    static const char MAILTO[] = "mailto:%22a%2Cb%22@B.example?subject=x";
    static const char HTTPS[] = "https://[2001:db8::7]:8443?k#f";
    struct arena arena;
    struct rua got;

    (void)state;
    arena_init(&arena, 65536);
    assert_int_equal(rua_read(MAILTO, strlen(MAILTO), &arena, &got), RUA_FAULT_NONE);
    assert_string_equal(got.local_part, "\"a,b\"");
    assert_string_equal(got.domain, "b.example");
    assert_true(got.has_dropped_fields);
    assert_false(got.has_dropped_fragment);
    assert_int_equal(rua_read(HTTPS, strlen(HTTPS), &arena, &got), RUA_FAULT_NONE);
    assert_string_equal(got.target, "/?k");
    assert_true(got.is_address);
    assert_int_equal(got.host_address.len, 16);
    assert_true(got.has_dropped_fragment);
    assert_null(got.address);
    arena_done(&arena);
}

static void test_status_and_words(void **state)
{
    char *huge = malloc(RUA_URI_MAX + 1);
    struct arena arena;
    struct rua got;
    struct err err;

    (void)state;
    assert_non_null(huge);
    memset(huge, 'a', RUA_URI_MAX + 1);
    arena_init(&arena, 65536);
    assert_int_equal(rua_parse("mailto:a@", 9, &arena, &got, &err), ST_SYNTAX);
    assert_non_null(strstr(err.text, "no complete mail address"));
    assert_int_equal(rua_read(huge, RUA_URI_MAX + 1, &arena, &got), RUA_FAULT_TOO_LONG);
    for (int fault = 0; fault < RUA_FAULT_COUNT; fault++)
        assert_true(strlen(rua_fault_words((enum rua_fault)fault)) > 5);
    arena_done(&arena);
    free(huge);
}

/* With every size of arena the answer is either right or "out of memory". */
static void test_out_of_memory(void **state)
{
    static const char *const URIS[] = {"mailto:%22a%20b%22@b%C3%BCcher.example", "https://b.example:8443/r"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(URIS); i++) {
        enum rua_fault fault = RUA_FAULT_NOMEM;
        size_t rounds = 0;

        for (size_t max = 0; fault == RUA_FAULT_NOMEM && max < 4096; max += 16, rounds++) {
            struct arena arena;
            struct rua got;

            arena_init(&arena, max);
            fault = rua_read(URIS[i], strlen(URIS[i]), &arena, &got);
            arena_done(&arena);
        }
        assert_int_equal(fault, RUA_FAULT_NONE);
        assert_true(rounds > 3);
    }
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_good_uris),        cmocka_unit_test(test_normal_form_reads_back_as_itself),
        cmocka_unit_test(test_bad_uris),         cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_status_and_words), cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("rua", TESTS, NULL, NULL);
}
