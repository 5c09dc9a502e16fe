/* SPDX-License-Identifier: MIT */
/*
 * Any file as the ring.  The first byte says how the input becomes one: 0, it is the begin of the file; else
 * it is a list of patches (place, length, bytes) over a ring in which records wait.  Whatever it is, reading
 * ends, hands out nothing beyond the file, and what is appended afterwards comes out as it went in.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "ring/ring.h"

#define OWNER      "0123456789abcdef0123456789abcdef"
#define IMAGE_MAX  (8192 + RING_RECORD_MAX) /* the smallest file that may be a ring */
#define RECORDS    40
#define PLACES     16 /* a patch's place is given in this unit, so that two bytes reach the whole image */
#define TEXT       "a record that is read back"
#define ROUNDS_MAX (IMAGE_MAX / 8 + 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64], image[IMAGE_MAX];
static struct ring_position counted;

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void forget(void)
{
    char aside[88];

    (void)unlink(path);
    for (int i = 1; i <= 3; i++) {
        (void)snprintf(aside, sizeof aside, "%s.unreadable-%d", path, i);
        (void)unlink(aside);
    }
}

/* A ring in its third lap with records of many sizes in it. */
static void make_image(void)
{
    static const char BYTES[20000];
    const struct ring_position begin = {0};
    struct ring_record record;
    struct ring *ring = NULL;
    int fd;

    (void)snprintf(path, sizeof path, "%s/ring_fuzz.%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
                   (long)getpid());
    forget();
    require(atexit(forget) == 0);
    require(ring_open(path, IMAGE_MAX, OWNER, &begin, &ring, NULL) == ST_OK);
    for (size_t i = 0; i < 3 * (size_t)RECORDS; i++) {
        require(ring_append(ring, RING_DATAGRAM, BYTES, i * 331 % sizeof BYTES, (int64_t)i));
        ring_publish(ring);
        if (i < 2 * (size_t)RECORDS) {
            require(ring_next(ring, &record) == RING_READ);
            ring_free(ring);
        } else if (ring_used_bytes(ring) > ring_capacity_bytes(ring) - sizeof BYTES - 64) {
            break;
        }
    }
    counted.sequence = ring_sequence(ring);
    ring_close(&ring);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    require(fd >= 0 && read(fd, image, sizeof image) == (ssize_t)sizeof image && close(fd) == 0);
}

static void write_file(const uint8_t *data, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool is_begin = size > 0 && data[0] == 0;

    require(fd >= 0 && pwrite(fd, image, sizeof image, 0) == (ssize_t)sizeof image);
    if (is_begin && size > 1)
        require(pwrite(fd, data + 1, size - 1, 0) == (ssize_t)(size - 1));
    for (size_t at = 1; !is_begin && at + 3 < size; at += 3 + (size_t)data[at + 2]) {
        size_t place = ((size_t)data[at] << 8 | data[at + 1]) * PLACES % (IMAGE_MAX - 256);
        size_t len = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;

        require(pwrite(fd, data + at + 3, len, (off_t)place) == (ssize_t)len);
    }
    require(ftruncate(fd, IMAGE_MAX) == 0 && close(fd) == 0);
}

static void read_all(struct ring *ring)
{
    uint64_t before = ring_sequence(ring);
    uint32_t sum = 0;

    for (size_t round = 0;; round++) {
        struct ring_record record;
        enum ring_read got = ring_next(ring, &record);

        require(round < ROUNDS_MAX && ring_sequence(ring) >= before);
        before = ring_sequence(ring);
        if (got == RING_EMPTY)
            return;
        if (got == RING_SKIPPED)
            continue;
        require(record.len <= RING_RECORD_MAX);
        for (size_t i = 0; i < record.len; i++) /* reads every byte: it must be there */
            sum += (unsigned char)record.bytes[i];
        require(sum < UINT32_MAX);
    }
}

static void check_append(struct ring *ring)
{
    struct ring_record record;

    ring_free(ring);
    require(ring_append(ring, RING_DATAGRAM, TEXT, sizeof TEXT, 7));
    ring_publish(ring);
    require(ring_next(ring, &record) == RING_READ && record.len == sizeof TEXT && record.arrival_ns == 7 &&
            memcmp(record.bytes, TEXT, sizeof TEXT) == 0);
    ring_free(ring);
    require(ring_used_bytes(ring) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ring *ring = NULL;
    struct err err = {0};

    if (path[0] == '\0')
        make_image();
    if (size > IMAGE_MAX)
        return 0;
    write_file(data, size);
    if (ring_open(path, IMAGE_MAX, OWNER, &counted, &ring, &err) == ST_OK) {
        read_all(ring);
        check_append(ring);
        if (ring_is_outdated(ring))
            require(ring_remake(ring, &err) == ST_OK && !ring_is_outdated(ring));
    } else {
        require(err.text[0] != '\0');
    }
    ring_close(&ring);
    return 0;
}
