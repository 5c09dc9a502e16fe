/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "listen/listen.h"

#define CONTROL_BYTES CMSG_SPACE(sizeof(struct ucred))

union control {
    struct cmsghdr align;
    char bytes[CONTROL_BYTES];
};

/* A distance between buffers that is no power of two: else all their first lines would share one set of the
 * processor's caches. */
#define STRIDE_BYTES (LISTEN_BYTES_MAX + 4096 + 576)

/* Buffers are touched only as far as datagrams reach, so the usual short ones cost two pages each. */
struct listen_batch {
    struct mmsghdr headers[LISTEN_BATCH];
    struct iovec vectors[LISTEN_BATCH];
    union control controls[LISTEN_BATCH];
    char buffers[LISTEN_BATCH][STRIDE_BYTES];
};

struct listen_batch *listen_batch_new(void)
{
    struct listen_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    for (size_t i = 0; i < LISTEN_BATCH; i++) {
        batch->vectors[i] = (struct iovec){.iov_base = batch->buffers[i], .iov_len = LISTEN_BYTES_MAX};
        batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->headers[i].msg_hdr.msg_iovlen = 1;
    }
    return batch;
}

void listen_batch_free(struct listen_batch **batch)
{
    free(*batch);
    *batch = NULL;
}

/* Room for exactly the credentials, or none at all: so no sender can plant descriptors (SCM_RIGHTS) in us. */
int listen_receive(const struct listener *listener, struct listen_batch *batch)
{
    int count;

    for (size_t i = 0; i < LISTEN_BATCH; i++) {
        batch->headers[i].msg_hdr.msg_control = listener->wants_uid ? batch->controls[i].bytes : NULL;
        batch->headers[i].msg_hdr.msg_controllen = listener->wants_uid ? CONTROL_BYTES : 0;
    }
    do
        count = recvmmsg(listener->fd, batch->headers, LISTEN_BATCH, MSG_DONTWAIT, NULL);
    while (count < 0 && errno == EINTR);
    return count < 0 && errno == EAGAIN ? 0 : count;
}

static void read_credentials(struct msghdr *header, struct listen_datagram *datagram)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;

            memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
            datagram->has_uid = true;
            datagram->uid = credentials.uid;
        }
}

void listen_batch_get(const struct listen_batch *batch, size_t index, struct listen_datagram *datagram_out)
{
    struct mmsghdr header = batch->headers[index];

    *datagram_out = (struct listen_datagram){
        .bytes = batch->buffers[index],
        .len = header.msg_len,
        .is_truncated = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0,
    };
    read_credentials(&header.msg_hdr, datagram_out);
}
