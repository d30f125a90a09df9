/*
 * Between raise-program.ml and the library: OCaml's runtime raises through the frames of C that it
 * finds between a callback and whoever catches.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/callback.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <stdlib.h>
#include <Ring/FastRing.h>

CAMLprim value raise_create(value unit)
{
    (void)unit;
    return caml_copy_nativeint((intnat)CreateFastRing(0));
}

CAMLprim value raise_release(value ring)
{
    ReleaseFastRing((struct FastRing*)Nativeint_val(ring));
    return Val_unit;
}

CAMLprim value raise_wait(value ring)
{
    return Val_int(WaitForFastRing((struct FastRing*)Nativeint_val(ring), UINT32_MAX, NULL));
}

/* Its closure is a root of the collector's until here. */
static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    value* root = closure;
    value function = *root;
    (void)timeout;
    caml_remove_generational_global_root(root);
    free(root);
    caml_callback(function, Val_unit);
}

CAMLprim value raise_timeout(value ring, value function)
{
    CAMLparam2(ring, function);
    value* root = malloc(sizeof(value));
    *root = function;
    caml_register_generational_global_root(root);
    struct FastRing* target = (struct FastRing*)Nativeint_val(ring);
    if (SetFastRingTimeout(target, NULL, 0, 0, onTimeout, root) == NULL)
        abort();
    CAMLreturn(Val_unit);
}
