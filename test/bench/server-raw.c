/*
 * The contender without a library: io_uring written by hand for this very work, as well as we can.
 *
 * -x gather         echo: sends straight from the receive buffers (usual: copied, one send a turn)
 * -x bundle         receives into several buffers at once
 * -x gather-bundle  both
 * -x linked         push: a linked send for each message (usual: a burst by one send)
 * -x tried          push: a burst by send(2), and by the ring what that didn't take
 * -x joined         udp: one segmented send for what a turn brought from a source (usual: one each)
 */
#include "raw.h"

int main(int count, char** arguments)
{
    static const char* const variants[] = {"gather", "bundle", "gather-bundle", "linked",
                                           "tried", "joined", NULL};
    struct ServerOptions options = beginServer(count, arguments, variants);
    int handle;

    openRing(&options);
    openBuffers(&options);
    handle = openServer(&options);
    if (options.mode == SERVER_DATAGRAMS)
        serveDatagrams(handle, &options);
    else
        serveStreams(handle, &options);
}
