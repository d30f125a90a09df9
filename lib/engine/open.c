/*
 * Which engine a ring gets.
 *
 * Today there is one. Another is chosen here, and nothing above learns of it.
 */
#include "engine/open.h"
#include "engine/uring-open.h"

#include <stdlib.h>

/* What FASTSOCKET_FEATURES_OFF hides: asked at each opening, so that it holds for the engines that
 * follow. */
static uint64_t hiddenFeatures(void)
{
    const char* text = secure_getenv("FASTSOCKET_FEATURES_OFF");
    return text != NULL ? strtoull(text, NULL, 0) : 0;
}

int FastEngineOpen(struct FastEngine** result, uint32_t length)
{
    return FastUringOpen(result, length, hiddenFeatures());
}
