/* SPDX-License-Identifier: MIT */
/*
 * keyed_hash.h - a 128-bit fingerprint of bytes that nobody without the key can make collide.
 * Source: SipHash with 128-bit output (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), in its
 * faster form with one round a word and three at the end, SipHash-1-3, as hash tables of several languages
 * use it: nobody outside ever sees a fingerprint.
 *
 * The hosts of a fleet share fingerprints in their database (fleet/fleet.h), so the function must never change.
 *
 * Two different texts have the same fingerprint with a chance of 2^-128, so it can be used in place of the text.
 */
#ifndef BASE_KEYED_HASH_H
#define BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t words[2];
};

struct hash {
    uint64_t words[2];
};

/* A new random key; falls back to the clock and addresses where the kernel gives no random bytes. */
struct hash_key hash_key_new(void);

struct hash hash_bytes(const struct hash_key *key, const void *bytes, size_t len);

#endif
