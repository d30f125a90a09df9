/*
 * Where a call came from, as the stack tells.
 *
 * The frames from here outward are the library's own up to the public function that was called;
 * the next one is its caller's. What belongs to the library is known by its addresses, since names
 * tell nothing: all but the public ones are hidden. In a program that has the library inside it
 * (the static one) the two can't be told apart, and neither is known.
 *
 * Names are looked up when a report is written, and no earlier: that takes long.
 */
#include "base/place.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#else /* a C library without it: places are not known */
static int backtrace(void** frames, int count)
{
    (void)frames;
    (void)count;
    return 0;
}
#endif

enum
{
    PLACE_DEPTH = 64, /* frames that are looked at */
};

static struct
{
    uintptr_t begin;
    uintptr_t end;
} code; /* of this library; empty: it has no file of its own */

static int lookAtObject(struct dl_phdr_info* object, size_t size, void* own)
{
    (void)size;
    for (size_t index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr)* part = &object->dlpi_phdr[index];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || (uintptr_t)own < begin ||
            (uintptr_t)own - begin >= part->p_memsz)
            continue;
        bool isProgram = object->dlpi_name == NULL || object->dlpi_name[0] == '\0';
        if (!isProgram) {
            code.begin = begin;
            code.end = begin + part->p_memsz;
        }
        return 1;
    }
    return 0;
}

void FastPlacePrepare(void)
{
    void* frame;
    (void)dl_iterate_phdr(lookAtObject, (void*)(uintptr_t)FastPlacePrepare);
    (void)backtrace(&frame, 1);
}

static bool isOurs(const void* address)
{
    return (uintptr_t)address >= code.begin && (uintptr_t)address < code.end;
}

struct FastPlace FastPlaceFind(void)
{
    void* frames[PLACE_DEPTH];
    int count = code.end > 0 ? backtrace(frames, PLACE_DEPTH) : 0;
    int index = 0;
    while (index < count && !isOurs(frames[index]))
        index++; /* somebody who stands before backtrace(3), as AddressSanitizer */
    while (index < count && isOurs(frames[index]))
        index++;
    return (struct FastPlace){
        .inside = index > 0 && index <= count ? frames[index - 1] : NULL,
        .outside = index < count ? frames[index] : NULL,
    };
}

/* The address in a file, as addr2line(1) takes it: of the call, not of what follows it. */
static void writeCaller(const void* address, char* text, size_t size)
{
    Dl_info info;
    uintptr_t call = (uintptr_t)address - 1;
    if (dladdr((void*)call, &info) == 0 || info.dli_fname == NULL)
        (void)snprintf(text, size, "%p", (void*)call);
    else
        (void)snprintf(text, size, "%s+0x%zx%s%s%s", info.dli_fname,
                       (size_t)(call - (uintptr_t)info.dli_fbase),
                       info.dli_sname != NULL ? " (" : "",
                       info.dli_sname != NULL ? info.dli_sname : "",
                       info.dli_sname != NULL ? ")" : "");
}

/* A function that has ended with a jump into another one of ours has left no frame, and no name. */
void FastPlaceWrite(const struct FastPlace* place, char* text, size_t size)
{
    Dl_info info;
    const char* name = NULL;
    char caller[512];
    if (place->inside != NULL && dladdr((void*)((uintptr_t)place->inside - 1), &info) != 0)
        name = info.dli_sname;
    if (place->outside == NULL) {
        (void)snprintf(text, size, "%s", name != NULL ? name : "a call");
        return;
    }
    writeCaller(place->outside, caller, sizeof(caller));
    (void)snprintf(text, size, "%s, called from %s", name != NULL ? name : "a call", caller);
}
