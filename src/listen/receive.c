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

/* Distance between buffers; no power of two, or the first lines of all would share one set of the cache. */
#define STRIDE_BYTES (LISTEN_BYTES_MAX + 4096 + 576)

/* A buffer's pages are used only as far as datagrams reach: two pages each for the usual short ones. */
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

/* Control room for exactly the credentials, or none: so no sender can pass descriptors (SCM_RIGHTS). */
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
