/* SPDX-License-Identifier: MIT */
/*
 * fnv1a.h - a 64-bit hash that is the same on every host and in every run: for names, spreading and checksums
 * of our own files.  Where somebody could aim at a collision, use keyed_hash.h.
 * Source: FNV-1a (Fowler, Noll, Vo).
 */
#ifndef BASE_FNV1A_H
#define BASE_FNV1A_H

#include <stddef.h>
#include <stdint.h>

#define FNV1A_START UINT64_C(0xcbf29ce484222325)

/* The hash of what hash stands for (FNV1A_START: nothing) and bytes[0..len). */
static inline uint64_t fnv1a(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
