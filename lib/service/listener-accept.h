/*
 * What a listener asks the kernel for.
 */
#ifndef FASTSOCKET_SERVICE_LISTENER_ACCEPT_H
#define FASTSOCKET_SERVICE_LISTENER_ACCEPT_H

#include "service/listener-state.h"

/* Of zeroed memory. */
void FastListenerPrepare(struct FastListener* listener);

/* Brings what is in flight in line with what is wanted. */
void FastListenerReconcile(struct FastListener* listener);

/* Has the connection that was kept, if there is one, handed over soon. */
void FastListenerHandKept(struct FastListener* listener);

/* Ends what is in flight at once, where the kernel lets it. */
void FastListenerLetGo(struct FastListener* listener);

/* An option of a socket that is a number of SOL_SOCKET; or a negative errno. */
int FastListenerAsk(int handle, int option);

#endif
