/*
 * Descriptors that are no sockets, as FASTSOCKET_MODE_FILE_IO takes them: streams of bytes that are
 * read and written instead of received and sent.
 *
 * Creation looks at the file once (kind-find.c). kind-file-read.c and kind-file-write.c choose, for
 * each read and write, who makes it: the ring, a thread of the kernel's, or a call of our own on an
 * open file description that nobody shares (kind-file-own.c). What is queued is gathered, and what
 * was read is given out, as for a stream.
 */
#include "socket/kind-file.h"

#include "socket/flight.h"
#include "socket/kind-file-own.h"
#include "socket/kind-file-read.h"
#include "socket/kind-file-write.h"
#include "socket/kind-socket.h"
#include "socket/kind-stream.h"

#include <errno.h>

enum
{
    FILE_SEND_FLAGS = MSG_MORE | MSG_NOSIGNAL,
};

static int checkSend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    return FastKindCheckSend(socket, parts, flags, FILE_SEND_FLAGS, -EINVAL);
}

/* ---- life ---- */

static int initialize(struct FastSocket* socket, const struct FastFinding* finding)
{
    struct FastFileSocket* file = FastFile(socket);
    file->own = -1;
    file->relay[0] = -1;
    file->relay[1] = -1;
    file->state = finding->fileState;
    return FastSocketMakeOutbound(socket); /* its trail belongs to reads, too */
}

static void closeFile(struct FastSocket* socket)
{
    FastFileCloseOwn(FastFile(socket));
}

const struct FastKind FastKindFile = {
    .name = "file",
    .layout = FAST_INBOUND_BYTES,
    .initialize = initialize,
    .size = sizeof(struct FastFileSocket),
    .readFlags = FAST_STREAM_READ_FLAGS,
    .mostParts = FAST_FILE_PARTS,
    .ownSends = FAST_OPCODES_WRITE,
    .prepareReceive = FastFilePrepareRead,
    .classifyReceive = FastFileClassifyRead,
    .read = FastStreamRead,
    .checkSend = checkSend,
    .append = FastStreamAppend,
    .startSend = FastFlightStartStream,
    .prepareSend = FastFilePrepareWrite,
    .classifySend = FastFileClassifyWrite,
    .pollsFirst = FastFilePollsBeforeWrite,
    .close = closeFile,
};
