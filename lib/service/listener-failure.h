/*
 * What a failure of accept(2) says of the listener.
 */
#ifndef FASTSOCKET_SERVICE_LISTENER_FAILURE_H
#define FASTSOCKET_SERVICE_LISTENER_FAILURE_H

enum FastAcceptFailure
{
    FAST_ACCEPT_PASSING, /* of one connection */
    FAST_ACCEPT_SHORTAGE,
    FAST_ACCEPT_FINAL,
};

enum FastAcceptFailure FastAcceptClassify(int error);

#endif
