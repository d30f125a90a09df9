/*
 * UDP by hand-written io_uring: a multishot receive, and answers straight from the receive buffers.
 * Usual: an entry each. Joined: what one turn brought from one source leaves as one segmented send
 * (UDP_SEGMENT), as long as the datagrams are of one size.
 */
#include "raw.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

enum
{
    SEGMENTS = 64,
    LONGEST = 65000, /* of all segments together */
    GROUPS = 64      /* sources told apart in one turn */
};

struct Reply
{
    struct Operation send;
    struct Reply* next;
    struct msghdr header;
    size_t length; /* of all of it */
    unsigned count;
    uint16_t buffers[SEGMENTS];
    struct iovec vectors[SEGMENTS];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))];
};

static int server;
static unsigned most; /* datagrams of one reply */
static struct msghdr layout = {.msg_namelen = sizeof(struct sockaddr_in)};
static struct Reply* spare;
static struct Reply* replies[GROUPS];
static unsigned replyCount;

static void completeReply(void* owner, const struct io_uring_cqe* completion)
{
    struct Reply* reply = owner;

    if ((completion->res < 0) && (completion->res != -EAGAIN) && (completion->res != -ECONNREFUSED))
        die("sendmsg", completion->res);
    for (unsigned i = 0; i < reply->count; i++)
        returnBuffer(reply->buffers[i]);
    reply->next = spare;
    spare = reply;
}

static struct Reply* takeReply(struct sockaddr_in* address)
{
    struct Reply* reply = spare;

    if (reply != NULL) {
        spare = reply->next;
    } else {
        reply = allocateOrDie(sizeof *reply);
        reply->send = (struct Operation){completeReply, reply};
    }
    /* The address stays where the kernel has put it, in the reply's first buffer. */
    reply->header = (struct msghdr){.msg_name = address,
                                    .msg_namelen = sizeof *address,
                                    .msg_iov = reply->vectors};
    reply->length = 0;
    reply->count = 0;
    return reply;
}

static void askForSegments(struct Reply* reply)
{
    uint16_t segment = (uint16_t)reply->vectors[0].iov_len;

    struct cmsghdr* control;

    reply->header.msg_control = reply->control;
    reply->header.msg_controllen = sizeof reply->control;
    control = CMSG_FIRSTHDR(&reply->header);
    control->cmsg_level = IPPROTO_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
}

static void sendReplies(void)
{
    for (unsigned i = 0; i < replyCount; i++) {
        struct Reply* reply = replies[i];
        struct io_uring_sqe* entry = takeEntry();
        reply->header.msg_iovlen = reply->count;
        if (reply->count > 1)
            askForSegments(reply);
        io_uring_prep_sendmsg(entry, server, &reply->header, 0);
        io_uring_sqe_set_data(entry, &reply->send);
    }
    replyCount = 0;
}

/* The reply that a datagram joins. */
static struct Reply* replyTo(struct sockaddr_in* address, size_t length)
{
    for (unsigned i = 0; (most > 1) && (i < replyCount); i++) {
        struct sockaddr_in* other = replies[i]->header.msg_name;
        struct Reply* reply = replies[i];
        if ((other->sin_port != address->sin_port) ||
            (other->sin_addr.s_addr != address->sin_addr.s_addr))
            continue;
        if ((reply->count < most) && (reply->vectors[0].iov_len == length) &&
            (reply->length + length <= LONGEST))
            return reply;
        /* Order within a source is kept. */
        sendReplies();
        break;
    }
    if (replyCount == GROUPS)
        sendReplies();
    return replies[replyCount++] = takeReply(address);
}

static void takeDatagram(const struct io_uring_cqe* completion)
{
    unsigned buffer = bufferOf(completion);
    struct io_uring_recvmsg_out* out =
        io_uring_recvmsg_validate(bufferData(buffer), completion->res, &layout);
    size_t length = io_uring_recvmsg_payload_length(out, completion->res, &layout);
    struct Reply* reply = replyTo(io_uring_recvmsg_name(out), length);

    reply->vectors[reply->count] = (struct iovec){io_uring_recvmsg_payload(out, &layout), length};
    reply->buffers[reply->count] = (uint16_t)buffer;
    reply->count++;
    reply->length += length;
}

static void armDatagrams(struct Operation* operation)
{
    struct io_uring_sqe* entry = takeEntry();

    io_uring_prep_recvmsg_multishot(entry, server, &layout, 0);
    useBuffers(entry, false);
    io_uring_sqe_set_data(entry, operation);
}

static struct Operation receive;

static void completeDatagram(void* owner, const struct io_uring_cqe* completion)
{
    (void)owner;
    if (completion == NULL) {
        armDatagrams(&receive);
        return;
    }
    if (completion->res == -ENOBUFS) {
        waitForBuffers(&receive);
        return;
    }
    if (completion->res >= 0)
        takeDatagram(completion);
    if ((completion->flags & IORING_CQE_F_MORE) == 0)
        armDatagrams(&receive);
}

void serveDatagrams(int handle, const struct ServerOptions* options)
{
    server = handle;
    most = isVariant(options, "joined") ? SEGMENTS : 1;
    receive.complete = completeDatagram;
    armDatagrams(&receive);
    runRing(sendReplies);
}
