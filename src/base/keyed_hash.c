/* SPDX-License-Identifier: MIT */
#include "base/keyed_hash.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"

struct siphash_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct siphash_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

/* The next up to 8 bytes, least significant first on every machine. */
static inline uint64_t word_at(const unsigned char *bytes, size_t len)
{
    uint64_t word = 0;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (len == 8) {
        memcpy(&word, bytes, 8);
        return word;
    }
#endif
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

static inline void compress(struct siphash_state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t finish(struct siphash_state *s)
{
    for (int i = 0; i < 3; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct hash hash_bytes(const struct hash_key *key, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    struct siphash_state s = {
        .v0 = key->words[0] ^ 0x736f6d6570736575,
        .v1 = key->words[1] ^ 0x646f72616e646f6d ^ 0xee,
        .v2 = key->words[0] ^ 0x6c7967656e657261,
        .v3 = key->words[1] ^ 0x7465646279746573,
    };
    struct hash hash;
    size_t left = len;

    for (; left >= 8; left -= 8, at += 8)
        compress(&s, word_at(at, 8));
    compress(&s, word_at(at, left) | (uint64_t)(len & 0xff) << 56);
    s.v2 ^= 0xee;
    hash.words[0] = finish(&s);
    s.v1 ^= 0xdd;
    hash.words[1] = finish(&s);
    return hash;
}

struct hash_key hash_key_new(void)
{
    struct hash_key key;

    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key) {
        key.words[0] = (uint64_t)clock_utc_ns() ^ (uint64_t)getpid() << 32;
        key.words[1] = (uint64_t)clock_monotonic_ms() ^ (uint64_t)(uintptr_t)&key;
    }
    return key;
}
